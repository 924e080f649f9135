"""The runs behind numbers, and the commands that train them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from amid.core.types import RunRecord
from amid.report.blocks import Origin, Provenance
from amid.report.data import ReportData, short
from amid.studies import sensitivity
from amid.studies.sections import stage_of


def of_configurations(
    data: ReportData, dataset: str, rows: Mapping[str, Sequence[RunRecord]], what: str = ""
) -> Provenance:
    """Provenance of rows that are configurations. what: as in Provenance."""
    stages = {name: data.stages[stage_of(data.params, name)] for name in rows}
    origins = [
        Origin(short(name), seeds(runs), stages[name].command(dataset))
        for name, runs in rows.items()
    ]
    return Provenance(dataset, origins, what)


def of_folds(data: ReportData, dataset: str) -> Provenance:
    """Provenance of Table 3."""
    command = data.stages["folds"].command(dataset)
    origins = [
        Origin(
            f"{setup}, {short(name)}",
            [
                (f"fold {run.spec.fold}, seed {run.spec.seed}", run.key, run.best_epoch + 1)
                for run in runs
            ],
            command,
        )
        for (setup, name), runs in data.folds[dataset].items()
    ]
    return Provenance(dataset, origins)


def of_weights(data: ReportData, dataset: str) -> Provenance:
    """Provenance of Table 6."""
    command = data.stages["sensitivity"].command(dataset)
    origins = [
        Origin(sensitivity.folder_name(weight, value).replace("_", " = "), seeds(runs), command)
        for (weight, value), runs in data.sensitivity[dataset].items()
    ]
    return Provenance(dataset, origins)


def seeds(runs: Iterable[RunRecord]) -> list[tuple[str, str, int]]:
    """Of each run its seed in words, its key and the epoch that it is reported at."""
    return [(f"seed {run.spec.seed}", run.key, run.best_epoch + 1) for run in runs]
