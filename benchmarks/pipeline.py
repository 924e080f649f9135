"""What the pipeline adds to training: MLflow's share of a stage, and a `dvc repro` of nothing.

The calls of the tracker are made by the stage's own process while its workers train made-up runs on
all cores. So there are two shares: the processor time of the calls over what the stage had of all
cores, which is what it costs, and their wall time over the stage's, waiting for a free core
included. Opening the store (mlflow's import) goes on beside the training and is in neither. The
last number needs a reproduced checkout.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, seconds, show  # isort: skip  pins kernels first

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from amid.io.processes import available_cores
from amid.runs.scheduler import run_all
from amid.runs.store import RunStore
from amid.tracking.tracker import Tracker
from benchmarks.made_up import run, write_data


class Timed(Tracker):
    """A tracker that adds up what its calls take, after the store is open."""

    wall = processor = 0.0

    def log_epochs(self, *given) -> None:
        with self._timed():
            super().log_epochs(*given)

    def log_run(self, *given) -> None:
        with self._timed():
            super().log_run(*given)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        self._ready()
        wall, processor = time.perf_counter(), time.thread_time()
        yield
        self.wall += time.perf_counter() - wall
        self.processor += time.thread_time() - processor


def stage(runs: int) -> dict[str, float]:
    """What a stage with so many runs takes, and the tracker's calls in it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        data = write_data(place)
        planned = [run(data, {}, seed) for seed in range(runs)]
        start = time.perf_counter()
        with Timed("benchmark", place, {}) as tracker:
            run_all(
                planned,
                store=RunStore(place / "runs"),
                data=data,
                workers=0,
                checkpoint_every=5,
                tracker=tracker,
            )
        took = time.perf_counter() - start
        return {
            "runs": runs,
            "stage, s": took,
            "calls, s of a processor": tracker.processor,
            "of all cores, %": 100 * tracker.processor / (took * available_cores()),
            "calls, s": tracker.wall,
            "of wall time, %": 100 * tracker.wall / took,
        }


def nothing_to_do() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], capture_output=True, text=True, check=True
    )
    if "Running stage" in done.stdout:
        sys.exit("this checkout was not up to date: run `dvc repro` first, then this again.")


def main() -> None:
    given = arguments(__doc__, runs=12, repeats=5)
    row = stage(given.runs)
    nothing_to_do()
    repro = [seconds(nothing_to_do) for _ in range(given.repeats)]
    low, median, high = np.percentile(repro, (25, 50, 75))
    show([row | {"no-op dvc repro, s": f"{median:.1f} ({low:.1f}-{high:.1f})"}], given.json)


if __name__ == "__main__":
    main()
