"""Training runs of one shape together (stacked weights, torch.func.vmap) against one by one.

A step of L_FT + L_FA with the project's networks for R runs that differ by seed, one thread: R
steps one after the other, as each worker of the pool does them, against one step of stacked
networks. nn.GRU has no rule for vmap, so the stacked side spells the cell out; results are compared
before they are timed.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, ratio, show, timed  # isort: skip  pins kernels first

import copy
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from amid.core.types import Batch
from amid.networks import encoders
from amid.runs.plan import configured_run
from amid.studies import load_params
from amid.training.trainer import Trainer
from benchmarks.methods import samples, trainer


class PlainGru(nn.Module):
    """nn.GRU's cell in tensor operations, with the weights of a given one."""

    def __init__(self, gru: nn.GRU) -> None:
        super().__init__()
        self.inputs, self.states = gru.weight_ih_l0, gru.weight_hh_l0
        self.input_bias, self.state_bias = gru.bias_ih_l0, gru.bias_hh_l0

    def forward(self, x: Tensor) -> tuple[None, Tensor]:
        given = x @ self.inputs.T + self.input_bias  # (B, steps, 3 H)
        hidden = x.new_zeros(len(x), self.states.shape[1])  # (B, H)
        for step in range(x.shape[1]):
            kept = hidden @ self.states.T + self.state_bias  # (B, 3 H)
            (r, z, n), (kr, kz, kn) = given[:, step].chunk(3, 1), kept.chunk(3, 1)
            r, z = (r + kr).sigmoid(), (z + kz).sigmoid()
            n = (n + r * kn).tanh()
            hidden = n + z * (hidden - n)
        return None, hidden[None]


def main() -> None:
    given = arguments(__doc__, repeats=15, batch=64)
    torch.set_num_threads(1)
    params = load_params(Path("params.yaml"))
    rows = []
    for dim, runs in ((128, 3), (128, 6), (128, 15), (512, 3)):
        network = params.network.model_copy(update={"dim": dim})
        changed = params.model_copy(update={"network": network})
        splits = samples(2000, dim, 26)
        singles = [
            trainer(configured_run(changed, "avlips", "l_ft_l_fa", s, lambda *_: "made up"), splits)
            for s in range(runs)
        ]
        batches = [splits.train.take(torch.randperm(2000)[: given.batch]) for _ in range(runs)]

        plain = [copy.deepcopy(one.networks) for one in singles]
        for networks in plain:
            networks.student.gru = PlainGru(networks.student.gru)
        weights, buffers = stack_module_state(plain)
        skeleton, method = plain[0], singles[0].method
        optimiser = torch.optim.Adam(weights.values(), lr=0.003, fused=True)
        stacked = Batch(
            torch.stack([b.target for b in batches]),
            {"audio": torch.stack([b.auxiliary["audio"] for b in batches])},
            torch.stack([b.labels for b in batches]),
            torch.stack([b.samples for b in batches]),
        )

        def loss(
            weights, buffers, target, audio, labels, samples, skeleton=skeleton, method=method
        ):
            batch = Batch(target, {"audio": audio}, labels, samples)
            reps = functional_call(skeleton, (weights, buffers), (batch,))
            return sum(method.losses(reps, labels).values())

        def together(
            loss=loss, weights=weights, buffers=buffers, stacked=stacked, optimiser=optimiser
        ) -> Tensor:
            # Whether there is a sequence that ends early is a question that vmap cannot ask.
            with patch.object(encoders, "unpadded", lambda x: (x, None)):
                values = vmap(loss)(
                    weights, buffers, stacked.target, stacked.auxiliary["audio"], stacked.labels,
                    stacked.samples,
                )  # fmt: skip
            optimiser.zero_grad()
            values.sum().backward()
            optimiser.step()
            return values.detach()

        def one_by_one(singles: list[Trainer] = singles, batches=batches) -> Tensor:
            pairs = zip(singles, batches, strict=True)
            return torch.stack([one.step(batch)["loss"] for one, batch in pairs])

        apart = (together() / one_by_one() - 1).abs().max()
        times = timed({"together": together, "one by one": one_by_one}, given.repeats)
        rows.append(
            {
                "D": dim,
                "runs": runs,
                "one by one, ms": 1000 * float(np.median(times["one by one"])),
                "together, ms": 1000 * float(np.median(times["together"])),
                "gain": ratio(times["one by one"], times["together"]),
                "losses apart, relative": float(apart),
            }
        )
    show(rows, given.json)


if __name__ == "__main__":
    main()
