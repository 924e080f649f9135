"""Which runs a training stage is made of, and which others it may have to train before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from amid.config import Params, unknown
from amid.core.types import RunRecord
from amid.data.feature_store import FeatureStore
from amid.errors import ConfigError
from amid.runs.plan import (
    Fingerprint,
    PlannedRun,
    configuration_runs,
    section_runs,
    warmup_runs,
    with_needed,
)
from amid.studies import STUDIES, get_study
from amid.studies.sections import BASE_ROWS, ELSEWHERE, SECTIONS, stage_of

# Runs go on from a warm-up's checkpoint, and the report draws the teacher of AMID's: a model file
# holds the student alone.
WITH_CHECKPOINTS = {"warmup", "amid"}


def settled(name: str, params: Params, dataset: str, folder: Path) -> Params:
    """The parameters with what depends on the data settled, for `planned_runs`: the folds of what
    a study trains. folder: of the data set's data. Raises ConfigError where the data does not fit
    the study."""
    for study in map(get_study, STUDIES):
        if study.trains == name and study.settle is not None:
            return study.settle(params, dataset, _folds(folder))
    return params


def planned_runs(
    name: str, params: Params, dataset: str, fingerprint: Fingerprint
) -> list[PlannedRun]:
    """The runs of `warmup`, of a section of params.yaml, or of what a study trains.

    The section ELSEWHERE has the rows that a table takes from another section as well. Raises
    ConfigError for any other name.
    """
    if name == "warmup":
        return warmup_runs(params, dataset, fingerprint)
    studies = {study.trains: study for study in map(get_study, STUDIES) if study.trains}
    if name in studies:
        return studies[name].plan(params, dataset, fingerprint)
    if name not in params.sections:
        known = ("warmup", *params.sections, *studies)
        raise ConfigError(unknown(f"section or study '{name}'", name, known, ""))
    runs = section_runs(name, params, dataset, fingerprint)
    if name == ELSEWHERE:
        runs += configuration_runs(rows_from_elsewhere(params), params, dataset, fingerprint)
    return runs


def _folds(folder: Path) -> list[int]:
    """The folds that the clips of a data set are in; the split `auxiliary` is in none."""
    index = FeatureStore.open(folder / "features").index
    return sorted(set(index["fold"][index["split"] != "auxiliary"].tolist()) - {-1})


def rows_from_elsewhere(params: Params) -> list[str]:
    """The configurations that a table, a figure, the report or the choice of a student reads and
    that stand in none of the sections that its stage depends on."""
    wanted = [(get_study(name).rows(params), get_study(name).sections) for name in STUDIES]
    trained = {name for names in params.sections.values() for name in names}
    shown = [name for name in BASE_ROWS if name in trained]
    wanted.append(([*shown, *params.student.configurations], SECTIONS))
    found = [
        row
        for rows, sections in wanted
        for row in rows
        if stage_of(params, row, sections) == ELSEWHERE
        and row not in params.sections.get(ELSEWHERE, ())
    ]
    return list(dict.fromkeys(found))


def all_runs(
    runs: list[PlannedRun], params: Params, dataset: str, fingerprint: Fingerprint
) -> list[PlannedRun]:
    """The runs of a stage, after the fixed teachers they need and the warm-ups that the stage
    `warmup` does not train."""
    if all(run.parent is None for run in runs):  # and its data may lack what warm-ups read
        return with_needed(runs, set())
    shared = {run.spec.key for run in warmup_runs(params, dataset, fingerprint)}
    return with_needed(runs, shared)


def student_means(runs: Sequence[PlannedRun], records: Mapping[str, RunRecord]) -> dict[str, float]:
    """Test Top-1 of each configuration's student, the mean over seeds in per cent, as in Table 1.

    records: of the runs, by their keys. A configuration without a student has none.
    """
    found: dict[str, list[float]] = {}
    for run in runs:
        if (accuracy := records[run.spec.key].accuracy("student")) is not None:
            found.setdefault(run.configuration, []).append(100 * accuracy)
    return {configuration: round(fmean(values), 2) for configuration, values in found.items()}
