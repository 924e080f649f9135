"""What the pipeline adds to training: MLflow's share of a stage, and a `dvc repro` of nothing.

The share is the time that the stage's process spends in calls of the tracker while it trains
made-up runs, over the wall time of the stage; opening the store (mlflow's import) is shown apart,
it goes on beside the training. The second number needs a reproduced checkout.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, seconds, show  # isort: skip  pins kernels first

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from amid.runs.local import run_all
from amid.runs.store import RunStore
from amid.tracking import Tracker
from benchmarks.made_up import run, write_data


class Timed(Tracker):
    """A tracker that adds up what its calls take, after the store is open."""

    spent = 0.0

    def log_epochs(self, *given) -> None:
        self._ready()
        start = time.perf_counter()
        super().log_epochs(*given)
        self.spent += time.perf_counter() - start

    def log_run(self, *given) -> None:
        self._ready()
        start = time.perf_counter()
        super().log_run(*given)
        self.spent += time.perf_counter() - start


def stage(runs: int) -> tuple[float, float]:
    """(wall time, time in the tracker's calls) of a stage with so many runs."""
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
        return time.perf_counter() - start, tracker.spent


def nothing_to_do() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], capture_output=True, text=True, check=True
    )
    if "Running stage" in done.stdout:
        sys.exit("this checkout was not up to date: run `dvc repro` first, then this again.")


def main() -> None:
    given = arguments(__doc__, runs=12, repeats=5)
    wall, spent = stage(given.runs)
    nothing_to_do()
    repro = [seconds(nothing_to_do) for _ in range(given.repeats)]
    low, median, high = np.percentile(repro, (25, 50, 75))
    show(
        [
            {
                "stage, s": wall,
                "in MLflow, s": spent,
                "share, %": 100 * spent / wall,
                "no-op dvc repro, s": f"{median:.1f} ({low:.1f}-{high:.1f})",
            }
        ],
        given.json,
    )


if __name__ == "__main__":
    main()
