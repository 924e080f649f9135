"""Kills of a training run, at random moments and in the middle of writing a checkpoint.

    python -m tests.campaigns.kill_training --count 50 --aimed 20 --seed 0

A run that saves its state at every batch is killed with -9 and started again; its record, its
student and its last checkpoint must be those of an undisturbed run, byte for byte. Every other run
is killed twice.
"""

from __future__ import annotations

import amid.core.reproducible  # isort: skip  # noqa: F401  pins kernels before torch loads

import argparse
import os
import random
import signal
import tempfile
import time
import traceback
from pathlib import Path

from amid.core import checkpoint
from amid.core.types import RunSpec
from amid.io.atomic import write_atomic as whole
from amid.training import train as training
from amid.training.job import TrainingJob
from tests.small import small_run, write_data

PLACES = ("before", "half written", "written, not renamed")


def train(spec: RunSpec, data: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    record = training.train(TrainingJob(spec, data, folder, checkpoint_minutes=0.0))
    whole(folder / "record.json", record.to_json().encode())


def left(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def started(spec: RunSpec, data: Path, folder: Path, aim: tuple[int, str] | None = None) -> int:
    """A forked process that trains, and dies at the write it is aimed at; its number."""
    number = os.fork()
    if number == 0:
        try:
            if aim is not None:
                killing_at(*aim)
            train(spec, data, folder)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return number


def ended(number: int) -> bool:
    """Waits for a child; whether it came to its end by itself."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == 0


def killing_at(write: int, place: str) -> None:
    """From now on the process dies in the given `place` of its write number `write`."""
    calls = 0

    def write_atomic(path: Path, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == write:
            if place != "before":
                part = path.with_name(f".{path.name}.{os.getpid()}.part")
                share = len(data) // 2 if place == "half written" else len(data)
                part.write_bytes(data[:share])
            os.kill(os.getpid(), signal.SIGKILL)
        whole(path, data)

    checkpoint.write_atomic = write_atomic


def campaign(folder: Path, count: int, aimed: int, seed: int) -> tuple[int, int]:
    """How many of the kills there were, and after how many of them the bytes were the same."""
    draw = random.Random(seed)
    data = write_data(folder / "avlips")
    spec = small_run(data, "amid").spec
    start = time.monotonic()
    ended(started(spec, data, folder / "reference"))
    duration = time.monotonic() - start
    expected = left(folder / "reference")
    writes = spec.training["epochs"] * 6  # five batches an epoch, and its end
    same = kills = 0
    for number in range(count + aimed):
        place = folder / f"run{number:03d}"
        for _ in range(1 + number % 2):
            if number < count:
                runner = started(spec, data, place)
                time.sleep(draw.uniform(0.0, 0.9 * duration))
                os.kill(runner, signal.SIGKILL)
            else:
                aim = draw.randrange(1, writes // 2), draw.choice(PLACES)
                runner = started(spec, data, place, aim)
            kills += not ended(runner)
        ended(started(spec, data, place))
        found = {name: b for name, b in left(place).items() if not name.endswith(".part")}
        same += found == expected
    return kills, same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--aimed", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"seed {given.seed}")
    with tempfile.TemporaryDirectory() as folder:
        kills, same = campaign(Path(folder), given.count, given.aimed, given.seed)
    runs = given.count + given.aimed
    print(f"{kills} kills; {same}/{runs} runs end in the same bytes")


if __name__ == "__main__":
    main()
