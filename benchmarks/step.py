"""A whole step of AMID against its floor: its own matrix products, and its optimisers' bytes.

The floor is the time of every matrix product of the step, forward and backward, alone, in its own
sizes, plus the bytes that Adam and SGD must move (Adam reads weight, gradient and two moments and
writes three of them: 28 bytes a float32 parameter; SGD 12) over the measured bandwidth of a copy.
One thread.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, ratio, show, timed  # isort: skip  pins kernels first

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from amid.runs.plan import configured_run
from amid.studies import load_params
from amid.training.trainer import Trainer
from benchmarks.methods import samples, trainer

if TYPE_CHECKING:
    from amid.contrastive.pairs import PairBatch
    from amid.contrastive.trainer import PairTrainer
    from amid.core.types import Batch


class Operations(TorchDispatchMode):
    """Records the calls of some of torch's operations: the function and its operands."""

    def __init__(self, names: Collection[str], calls: list[Callable[[], object]]) -> None:
        super().__init__()
        self.names, self.calls = names, calls

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if str(function) in self.names:
            kept = [arg.detach() if isinstance(arg, Tensor) else arg for arg in args]
            self.calls.append(partial(function, *kept, **(kwargs or {})))
        return function(*args, **(kwargs or {}))


def products(
    one: Trainer | PairTrainer, batch: Batch | PairBatch, beside: Collection[str] = ()
) -> list[Callable[[], object]]:
    """The matrix products of a step, to be called again: those of numpy, by which torch computes
    its own here (amid.core.portable), and which fused layers call themselves. beside: operations of
    torch that count as well."""
    calls: list[Callable[[], object]] = []
    matmul = np.matmul

    def recorded(*args, **kwargs):
        calls.append(partial(matmul, *args, **kwargs))
        return matmul(*args, **kwargs)

    np.matmul = recorded
    try:
        with Operations(beside, calls):
            one.step(batch)
    finally:
        np.matmul = matmul
    return calls


def optimiser_bytes(one: Trainer) -> int:
    adversary = sum(p.numel() for p in one.method.adversary_parameters())
    trained = sum(p.numel() for group in one.optimiser.param_groups for p in group["params"])
    return 28 * trained + 12 * adversary


def main() -> None:
    given = arguments(__doc__, repeats=60)
    torch.set_num_threads(1)
    buffer = torch.zeros(2**25)  # 128 MiB
    rows = []
    for dim, batch in ((512, 64), (512, 16), (128, 64)):
        params = load_params(Path("params.yaml"))
        network = params.network.model_copy(update={"dim": dim})
        params = params.model_copy(update={"network": network})
        splits = samples(2000, dim, 51)
        one = trainer(configured_run(params, "avlips", "amid", 0, lambda *_: "made up"), splits)
        chosen = torch.randperm(len(one.data.train))[:batch]
        calls = products(one, one.data.train.take(chosen))
        times = timed(
            {
                "step": lambda one=one, chosen=chosen: one.step(one.data.train.take(chosen)),
                "products": lambda calls=calls: [call() for call in calls],
                "copy": lambda: buffer.clone(),
            },
            given.repeats,
        )
        moved = optimiser_bytes(one)
        bandwidth = 2 * buffer.nbytes / times["copy"]
        floor = times["products"] + moved / bandwidth
        rows.append(
            {
                "D": dim,
                "B": batch,
                "step, ms": 1000 * float(np.median(times["step"])),
                "products, ms": 1000 * float(np.median(times["products"])),
                "products": len(calls),
                "optimiser, MB": moved / 1e6,
                "step / floor": ratio(times["step"], floor),
            }
        )
    show(rows, given.json)


if __name__ == "__main__":
    main()
