"""A training step of a small R(2+1)D by one process and by two that share the batch (gloo).

AMID's loss, batch 16, 8 frames of 56 x 56, width 16; one thread a process. Each row is the fastest
of the steps: by the clock, and processor seconds of one process. Only with as many free cores as
processes does the clock show the gain; the processor seconds show it on a busy machine too.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, show  # isort: skip  pins kernels first

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import torch

from amid.core.distributed import process_group
from amid.core.reproducible import use_deterministic_kernels
from amid.core.types import Batch
from amid.data.splits import Splits
from amid.training.trainer import Trainer
from benchmarks.growth import planned
from benchmarks.made_up import CLASSES

BATCH, WINDOW, SIZE, WIDTH = 16, 8, 56, 16


def step(size: int, steps: int) -> dict[str, float]:
    """Seconds of the fastest of so many steps, of a process that is one of `size`."""
    like = planned("amid", 512).spec
    video = {"blocks": 1, "width": WIDTH, "window": WINDOW, "size": SIZE}
    network = {**like.network, "encoder": "r2plus1d", "r2plus1d": video}
    training = {**like.training, **({"processes": size} if size > 1 else {})}
    spec = dataclasses.replace(like, network=network, training=training)
    pictures = torch.randint(0, 256, (BATCH, WINDOW, SIZE, SIZE, 3)).to(torch.uint8)
    labels = torch.arange(BATCH) % (CLASSES // 2)
    batch = Batch(pictures, {"audio": torch.randn(BATCH, 512)}, labels, torch.arange(BATCH))
    nothing = batch.take(torch.arange(0))
    use_deterministic_kernels()
    one = Trainer(spec, Splits(batch, nothing, nothing, [], list(map(str, range(CLASSES))), {}))
    one.networks.train()
    one.method.train()
    one.method.begin_epoch(99)
    batch = dataclasses.replace(batch, target=one.world.slice_batch(pictures, lambda own: own))
    walls, own = [], []
    for _ in range(steps):
        wall, used = time.perf_counter(), time.process_time()
        one.step(batch)
        walls.append(time.perf_counter() - wall)
        own.append(time.process_time() - used)
    return {"seconds": min(walls), "CPU seconds of a process": min(own)}


def main() -> None:
    options = arguments(__doc__, steps=5)
    rows = []
    for size in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, "-m", "benchmarks.shared_student", "--one", folder, str(size)]
            environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
            processes = [
                subprocess.Popen(
                    [*words, str(rank), str(options.steps)],
                    env=environment,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for rank in range(size)
            ]
            told = [process.communicate()[0] for process in processes]
        rows.append({"processes": size, **json.loads(told[0])})
    show(rows, options.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        folder, size, rank, steps = sys.argv[2], *map(int, sys.argv[3:])
        place = f"file://{Path(folder) / 'meeting'}"
        torch.manual_seed(0)
        with process_group("cpu", place=place, rank=rank, size=size) if size > 1 else nullcontext():
            print(json.dumps(step(size, steps)))
    else:
        main()
