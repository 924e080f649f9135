"""Which runs a training stage is made of."""

from __future__ import annotations

from amid.config import Params, unknown
from amid.errors import ConfigError
from amid.runs.plan import Fingerprint, PlannedRun, section_runs, warmup_runs
from amid.studies import STUDIES, get_study

# Runs go on from a warm-up's checkpoint, and the report draws the teacher of AMID's: a model file
# holds the student alone.
WITH_CHECKPOINTS = {"warmup", "amid"}


def planned_runs(
    name: str, params: Params, dataset: str, fingerprint: Fingerprint
) -> list[PlannedRun]:
    """The runs of `warmup`, of a section of params.yaml, or of what a study trains.

    Raises ConfigError for any other name.
    """
    if name == "warmup":
        return warmup_runs(params, dataset, fingerprint)
    studies = {study.trains: study for study in map(get_study, STUDIES) if study.trains}
    if name in studies:
        return studies[name].plan(params, dataset, fingerprint)
    if name not in params.sections:
        known = ("warmup", *params.sections, *studies)
        raise ConfigError(unknown(f"section or study '{name}'", name, known, ""))
    return section_runs(name, params, dataset, fingerprint)
