"""Which student is used: the best on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amid.core.types import RunRecord
from amid.errors import AmidError

Candidates = Mapping[str, Sequence[RunRecord]]  # configuration -> its runs, by seed


def choose(candidates: Candidates) -> tuple[str, RunRecord]:
    """The configuration and run with the best student on validation, at the epoch that the run
    chose; the first of equals. Never selects on test.

    Without validation clips it is the first run of the first configuration. AmidError for a
    configuration that trains no student.
    """
    best: tuple[float, str, RunRecord] | None = None
    for configuration, runs in candidates.items():
        for run in runs:
            if run.selected_on != "student":
                raise AmidError(
                    f"params.yaml: 'student.configurations' names '{configuration}', which trains "
                    "no student: take it out."
                )
            value = validation(run)
            value = -1.0 if value is None else value
            if best is None or value > best[0]:
                best = value, configuration, run
    if best is None:
        raise AmidError("params.yaml: there is no run to choose a student from: fill in 'seeds'.")
    return best[1], best[2]


def validation(run: RunRecord) -> float | None:
    """Top-1 (0..1) of the student on validation at the best epoch; None without clips there."""
    return run.history[run.best_epoch].get("validation_student")
