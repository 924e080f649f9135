"""How much is there to gain? What a teacher knows of new clips beyond the student, measured before
any distillation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from amid.config import Model, Name, Params
from amid.core.types import RunRecord
from amid.runs.plan import Fingerprint, PlannedRun, configured_run, modality_runs
from amid.studies import rendering
from amid.studies.base import Records, Study, check_configurations, read_records
from amid.studies.rendering import Column, Layout, number, text
from amid.studies.statistics import mean_std

STUDENT, TEACHER, SEEDS = "student", "teacher", "student, next seed"


class Block(Model):
    """The configurations of the student and of the teacher that are trained alone."""

    student: Name
    teacher: Name


def plan(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """Student and teacher alone, the very runs of the tables, and each auxiliary modality alone."""
    block = params.table_headroom
    rows = {STUDENT: block.student, TEACHER: block.teacher}
    alone = [
        configured_run(params, dataset, name, seed, fingerprint, folder=f"{row}/seed{seed}")
        for row, name in rows.items()
        for seed in params.seeds
    ]
    return [*alone, *modality_runs(params, dataset, fingerprint)]


def load(params: Params, runs: Path) -> Records:
    """Row: the student, the teacher, or an auxiliary modality (`auxiliary/<name>`)."""
    return {
        dataset: {
            row: read_records(runs / "headroom" / dataset / row, params.seeds)
            for row in (
                STUDENT,
                TEACHER,
                *(f"auxiliary/{name}" for name in params.data[dataset].auxiliary),
            )
        }
        for dataset in params.datasets
    }


def headroom(records: Records) -> pd.DataFrame:
    """What each network gets right on the test clips that the student does not, in per cent.

    One row a data set and network, means over seeds. accuracy: Top-1. both, only_other,
    only_student, neither: shares of the clips by who is right, the network or the student of the
    same seed; the row `student, next seed` compares the student with the student of another seed
    (not with a single seed). bound: of a data set, only_other of the teacher minus that of the next
    seed, at least 0: what the teacher adds to the student beyond what a second student would.
    """
    rows = []
    for dataset, networks in records.items():
        right = {name: _right(runs) for name, runs in networks.items()}  # (seeds, clips) each
        student = right[STUDENT]
        others = {name: values for name, values in right.items() if name != STUDENT}
        if len(student) > 1:
            others = {SEEDS: np.roll(student, -1, axis=0), **others}
        found = {name: _compared(student, other) for name, other in others.items()}
        chance = found[SEEDS]["only_other"] if SEEDS in found else 0.0
        bound = max(0.0, found[TEACHER]["only_other"] - chance)
        of_all = {"dataset": dataset, "seeds": len(student), "bound": bound}
        own = {"network": STUDENT, **_accuracy(student)}
        rows.append({**of_all, **own})
        rows += [
            {**of_all, "network": name, **_accuracy(others[name]), **shares}
            for name, shares in found.items()
        ]
    return pd.DataFrame(rows)


def _right(runs: Sequence[RunRecord]) -> np.ndarray:
    """(seeds, clips) bool: whether each run is right about each test clip, by the head that it
    selects on."""
    return np.array(
        [np.equal(run.predictions["best"][run.selected_on], run.labels) for run in runs]
    )


def _accuracy(right: np.ndarray) -> dict[str, float | None]:
    mean, std = mean_std((100 * right.mean(axis=1)).tolist())
    return {"accuracy": mean, "accuracy_std": std}


def _compared(student: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Shares of the clips in per cent by who is right, means over seeds."""
    by_whom = {
        "both": student & other,
        "only_other": ~student & other,
        "only_student": student & ~other,
        "neither": ~student & ~other,
    }
    return {name: float(100 * clips.mean()) for name, clips in by_whom.items()}


LAYOUT = Layout(
    "Headroom: how much is there to gain?",
    (
        Column("network", "network", "network", text, left=True),
        Column("accuracy", "Top-1", "Top-1"),
        Column("both", "right with the student", "both", number),
        Column("only_other", "right where the student is wrong", "only it", number),
        Column("only_student", "wrong where the student is right", "only the student", number),
        Column("neither", "both wrong", "neither", number),
    ),
    "Networks trained alone, without any distillation; shares of the test clips in per cent, each "
    "run compared with the student of its seed, means over seeds. The row `student, next seed` is "
    "what chance alone makes two students differ by. The bound in a heading is what the teacher is "
    "right about and the student is not, minus the same for the next seed: an estimate of ours, "
    "not a theorem. It is taken from test clips, to describe a data set, and no number of a "
    "training follows from it. A student may also gain less because its modality does not show "
    "what the teacher sees.",
    heading="{dataset}, {seeds} seeds: distillation can gain at most about {bound:.0f} points here",
)


def _write(params: Params, runs: Path, reports: Path) -> list[Path]:
    return rendering.write(headroom(load(params, runs)), LAYOUT, reports, "table_headroom")


def _check(params: Params) -> None:
    block = params.table_headroom
    check_configurations(params, "table_headroom.student", [block.student])
    check_configurations(params, "table_headroom.teacher", [block.teacher])


TABLE_HEADROOM = Study(
    block=Block, write=_write, check=_check, trains="headroom", plan=plan, on_request=True
)
