"""A training step of R(2+1)D-18 on 16 frames of 112 x 112: CPU time and peak memory, by its parts.

Each row is a process of its own, as peak memory is a process's (`--one BLOCKS PARTS PRECISION
STEPS` is one of them). One thread, batch 16, AMID's loss.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, show  # isort: skip  pins kernels first

import dataclasses
import json
import resource
import subprocess
import sys
import time

import torch

from amid.core.reproducible import use_deterministic_kernels
from amid.core.types import Batch
from amid.data.splits import Splits
from amid.training.trainer import Trainer
from benchmarks.growth import planned
from benchmarks.made_up import CLASSES

BATCH, WINDOW, SIZE = 16, 16, 112


def step(blocks: int, parts: int, precision: str, steps: int) -> dict[str, float]:
    """Seconds of the processor that the fastest of so many steps takes, which other programs beside
    it do not change, and the process's peak memory in GiB."""
    like = planned("amid", 512).spec
    video = {"blocks": blocks, "width": 64, "window": WINDOW, "size": SIZE}
    network = {**like.network, "encoder": "r2plus1d", "r2plus1d": video}
    training = {**like.training, "activation_chunks": parts, "precision": precision}
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
    times = []
    for _ in range(steps):
        start = time.process_time()
        one.step(batch)
        times.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"CPU seconds": min(times), "GiB": peak}


def main() -> None:
    options = arguments(__doc__, steps=2)
    rows = []
    for blocks, parts, precision in (
        (2, 1, "float32"),
        (2, 4, "float32"),
        (2, 1, "bfloat16"),
        (1, 1, "float32"),
    ):
        words = [str(blocks), str(parts), precision, str(options.steps)]
        told = subprocess.run(
            [sys.executable, "-m", "benchmarks.video_student", "--one", *words],
            check=True,
            capture_output=True,
            text=True,
        )
        rows.append(
            {"blocks": blocks, "parts": parts, "precision": precision, **json.loads(told.stdout)}
        )
    show(rows, options.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        blocks, parts, precision, steps = sys.argv[2:]
        print(json.dumps(step(int(blocks), int(parts), precision, int(steps))))
    else:
        main()
