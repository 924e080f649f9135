"""A whole step of AMID against its floor: its own matrix products, and its optimisers' bytes.

The floor is the time of every matrix product of the step, forward and backward, alone, in its own
sizes, plus the bytes that Adam and SGD must move (Adam reads weight, gradient and two moments and
writes three of them: 28 bytes a float32 parameter; SGD 12) over the measured bandwidth of a copy.
One thread.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, ratio, show, timed  # isort: skip  pins kernels first

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from amid.runs.plan import configured_run
from amid.studies import load_params
from amid.training.trainer import Trainer
from benchmarks.methods import samples, trainer

PRODUCTS = {"aten.mm.default", "aten.addmm.default", "aten.bmm.default", "aten.baddbmm.default"}


class Products(TorchDispatchMode):
    """Records the matrix products that are called: the function and its operands."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], Tensor]] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if str(function) in PRODUCTS:
            held = [x.detach() if isinstance(x, Tensor) else x for x in args]
            self.calls.append(lambda: function(*held))
        return function(*args, **(kwargs or {}))


def products(one: Trainer, rows: Tensor) -> list[Callable[[], Tensor]]:
    with Products() as recorded:
        one.step(one.data.train.take(rows))
    return recorded.calls


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
        calls = products(one, chosen)
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
