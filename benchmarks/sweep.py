"""A sweep of 20 runs: by the local executor against one process a run, start-up included.

AMID with 20 values of gamma on made-up data in avlips's sizes, with the project's numbers. The
other side is a loop in a shell: a process for every run, one after the other.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, seconds, show  # isort: skip  pins kernels first

import subprocess
import sys
import tempfile
from pathlib import Path

from amid.runs.scheduler import run_all
from amid.runs.store import RunStore
from benchmarks.made_up import run, write_data


class Silent:
    """In the place of MLflow's tracker: both sides train without it."""

    stage = "sweep"

    def open(self) -> None: ...

    def log_epochs(self, *_: object) -> None: ...

    def log_run(self, *_: object) -> None: ...

    def log_known(self, *_: object) -> None: ...


def sweep(data: Path, store: Path, values: list[float], epochs: int, workers: int) -> None:
    run_all(
        [run(data, {"gamma": value}, epochs=epochs) for value in values],
        store=RunStore(store),
        data=data,
        workers=workers,
        checkpoint_every=5,
        tracker=Silent(),
    )


def processes(data: Path, store: Path, values: list[float], epochs: int) -> None:
    for value in values:
        words = (data, store, value, epochs)
        command = [sys.executable, "-m", "benchmarks.sweep", "--one", *map(str, words)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        data, store, value, epochs = sys.argv[2:]
        sweep(Path(data), Path(store), [float(value)], int(epochs), 1)
        return
    given = arguments(__doc__, runs=20, epochs=24)
    values = [0.5 + 0.05 * n for n in range(given.runs)]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        data = write_data(place)
        pool = seconds(lambda: sweep(data, place / "pool", values, given.epochs, 0))
        single = seconds(lambda: processes(data, place / "single", values, given.epochs))
    show(
        [
            {
                "runs": given.runs,
                "epochs": given.epochs,
                "executor, s": pool,
                "a process a run, s": single,
                "ratio": single / pool,
            }
        ],
        given.json,
    )


if __name__ == "__main__":
    main()
