"""A benchmark made by hand: runs of made-up accuracies in runs/, and its files in reports/."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from amid.config import Params
from amid.core.types import RunRecord
from amid.studies import benchmark
from tests.recorded import put, record
from tests.small import project_params

CLIPS = 200


def params(
    datasets: Sequence[str] = ("avlips", "grid"),
    protocols: Mapping[str, int] | None = None,
    configurations: Sequence[str] | None = None,
) -> Params:
    """The project's parameters with its block, or with parts of another one."""
    own = project_params()
    given = {"protocols": protocols, "configurations": configurations}
    block = own.table_benchmark.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    if block.plain not in block.configurations:
        block = block.model_copy(update={"plain": "kd"})
    return own.model_copy(update={"datasets": list(datasets), "table_benchmark": block})


def a_run(dataset: str, protocol: str, name: str, seed: int, right: int) -> RunRecord:
    made = record({"student": right}, seed, labels=[n % 3 for n in range(CLIPS)])
    numbers = {"choose": "last"} if protocol == "strong" else {}
    spec = replace(made.spec, dataset=dataset, method=name, training=numbers)
    return replace(made, spec=spec)


def write_runs(of: Params, runs: Path, *, spread: float = 6.0) -> None:
    """Runs as the stage `benchmark` leaves them, without model files. Each configuration is better
    than the one before it by chance; spread: deviation of its right clips over seeds."""
    block = of.table_benchmark
    for dataset in of.datasets:
        for protocol, seeds in block.protocols.items():
            for name in block.configurations:
                draw = random.Random(f"{dataset} {protocol} {name}")
                level = 120 if name == block.alone else draw.choice([118, 124, 126, 130, 140])
                for seed in range(seeds):
                    right = round(min(CLIPS, level + draw.gauss(0, spread)))
                    place = runs / "benchmark" / dataset / protocol / name / f"seed{seed}"
                    put(a_run(dataset, protocol, name, seed, right), place)


def write_reports(of: Params, folder: Path, **changes: float) -> Path:
    """Runs in `folder`/runs and the study's files in `folder`/reports, which is returned."""
    write_runs(of, folder / "runs", **changes)
    reports = folder / "reports"
    reports.mkdir()
    benchmark.TABLE_BENCHMARK.write(of, folder / "runs", reports)
    return reports
