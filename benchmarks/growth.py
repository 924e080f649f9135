"""How time grows with runs, samples, batch and classes: slopes of log time over log size.

1 is proportional, below 1 a fixed cost still shows. Runs: a stage whose runs are all in the store
(plan, keys, records). Samples: an epoch of the student alone. Batch and classes: a step of AMID.
Synthetic data, one thread; the median of the repeats of each size.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, show, timed  # isort: skip  pins kernels first

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from amid.core.types import RunRecord
from amid.runs.plan import PlannedRun, configured_run
from amid.runs.store import RunStore
from amid.studies import load_params
from benchmarks.made_up import run, write_data
from benchmarks.methods import samples, trainer


def of_runs(sizes: list[int], repeats: int) -> list[float]:
    """Planning so many runs, their keys, and reading their records."""
    with tempfile.TemporaryDirectory() as folder:
        data, store = write_data(Path(folder)), RunStore(Path(folder) / "runs")
        history = [{"train_loss": 1.0, "validation_student": 0.5}] * 24
        sides: dict[str, Callable[[], object]] = {}
        for size in sizes:

            def look(size: int = size) -> None:
                for seed in range(size):
                    spec = run(data, {}, seed).spec
                    assert store.record(spec.key) is not None

            sides[str(size)] = look
        for seed in range(max(sizes)):
            spec = run(data, {}, seed).spec
            predictions = {"student": [0] * 1000, "teacher": [0] * 1000}
            store.folder(spec.key).mkdir(parents=True)
            store.model(spec.key).touch()
            store.finish(
                RunRecord(
                    spec, history, 0, "student", {"best": predictions}, ["clip"], [0], ["word"]
                )
            )
        return medians(sides, repeats)


def of_samples(sizes: list[int], repeats: int) -> list[float]:
    """An epoch of training on so many samples. Beyond 100,000 once: it takes minutes."""
    found = []
    for size in sizes:
        one = trainer(planned("student_alone", 128), samples(size, 128, 51))
        times = timed(
            {"epoch": lambda one=one: one.train_epoch(0)},
            repeats if size <= 100_000 else 1,
            warm=0 if size > 10_000 else 1,
        )
        found.append(float(np.median(times["epoch"])))
    return found


def planned(configuration: str, dim: int) -> PlannedRun:
    params = load_params(Path("params.yaml"))
    network = params.network.model_copy(update={"dim": dim})
    params = params.model_copy(update={"network": network})
    return configured_run(params, "avlips", configuration, 0, lambda *_: "made up")


def step_of(dim: int, batch: int, classes: int) -> Callable[[], object]:
    one = trainer(planned("amid", dim), samples(4000, dim, classes))
    rows = torch.arange(batch)
    return lambda: one.step(one.data.train.take(rows))


def medians(sides: dict[str, Callable[[], object]], repeats: int) -> list[float]:
    return [float(np.median(times)) for times in timed(sides, repeats, warm=1).values()]


def main() -> None:
    given = arguments(__doc__, repeats=5, largest=1_000_000)
    torch.set_num_threads(1)
    rows = []
    samples_of = [n for n in (1000, 10_000, 100_000, 1_000_000) if n <= given.largest]
    if len(samples_of) < 2:
        sys.exit("--largest has to be 10000 or more: a slope needs two sizes.")
    batches, classes = [16, 64, 256, 1024], [10, 100, 1000]
    for name, sizes, seconds in (
        ("runs", runs_of := [10, 30, 100, 300], of_runs(runs_of, given.repeats)),
        ("samples", samples_of, of_samples(samples_of, given.repeats)),
        ("batch", batches, medians({str(b): step_of(128, b, 51) for b in batches}, 20)),
        ("classes", classes, medians({str(c): step_of(128, 64, c) for c in classes}, 20)),
    ):
        slope = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
        steepest = np.max(np.diff(np.log(seconds)) / np.diff(np.log(sizes)))
        rows.append(
            {
                "grows": name,
                "from": sizes[0],
                "to": sizes[-1],
                "seconds": ", ".join(f"{s:.3g}" for s in seconds),
                "slope": slope,
                "steepest part": float(steepest),
            }
        )
    show(rows, given.json)


if __name__ == "__main__":
    main()
