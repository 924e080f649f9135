"""Where numbers come from: the runs behind them, and the command that trains these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from amid.report.content import Origin, Sources
from amid.report.material import Material, short
from amid.runs.plan import sensitivity_name
from amid.types import RunRecord


def of_configurations(
    material: Material, dataset: str, rows: Mapping[str, Sequence[RunRecord]], what: str = ""
) -> Sources:
    """Of rows that are configurations, trained by the sections of params.yaml; what: as in
    Sources."""
    sections = material.params.sections
    stage_of = {name: material.stages[part] for part, names in sections.items() for name in names}
    origins = [
        Origin(short(name), _seeds(runs), stage_of[name].command(dataset))
        for name, runs in rows.items()
    ]
    return Sources(dataset, origins, what)


def of_folds(material: Material, dataset: str) -> Sources:
    """Of Table 3."""
    command = material.stages["folds"].command(dataset)
    origins = [
        Origin(
            f"{setup}, {short(name)}",
            [
                (f"fold {run.spec.fold}, seed {run.spec.seed}", run.key, run.best_epoch + 1)
                for run in runs
            ],
            command,
        )
        for (setup, name), runs in material.folds[dataset].items()
    ]
    return Sources(dataset, origins)


def of_weights(material: Material, dataset: str) -> Sources:
    """Of Table 6."""
    command = material.stages["sensitivity"].command(dataset)
    origins = [
        Origin(sensitivity_name(weight, value).replace("_", " = "), _seeds(runs), command)
        for (weight, value), runs in material.sensitivity[dataset].items()
    ]
    return Sources(dataset, origins)


def _seeds(runs: Iterable[RunRecord]) -> list[tuple[str, str, int]]:
    return [(f"seed {run.spec.seed}", run.key, run.best_epoch + 1) for run in runs]
