"""What a table of methods supports, and what makes it useless, a sentence each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amid.core.types import RunRecord
from amid.studies.base import REFERENCE, TITLES, Records
from amid.studies.statistics import interval, paired_t, seeds_needed

LEVEL, POWER = 0.05, 0.8  # of the tests and intervals, and of the seeds that would be needed
PLAIN = "kd"  # the bar that a method has to clear, where a table has it


def remarks(records: Records, probes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What makes a table useless, a sentence each: a student alone that is near chance, or below
    what a linear probe reads off the same features.

    probes: data set -> what amid.inspection.probe found; a data set may be missing. Both are told
    where the difference is beyond two standard errors of the test clips.
    """
    found = []
    for dataset, rows in records.items():
        runs = next((r for r in rows.values() if r and r[0].spec.method == "baseline"), None)
        if runs is None or not runs[0].labels:
            continue
        labels = runs[0].labels
        reached = float(np.mean([run.accuracy("student") for run in runs]))
        chance = max(Counter(labels).values()) / len(labels)
        target = runs[0].spec.target
        linear = probes.get(dataset, {}).get("modalities", {}).get(target, {}).get("test")
        if reached <= chance + 2 * _error(chance, len(labels)):
            found.append(
                f"{dataset}: WARNING: the student alone reaches {100 * reached:.1f} %, chance is "
                f"{100 * chance:.1f} %: it learns nothing from {target}, so no row of this table "
                "compares methods."
            )
        if linear is not None and reached < linear - 2 * _error(linear, len(labels)):
            found.append(
                f"{dataset}: WARNING: the student alone reaches {100 * reached:.1f} %, a linear "
                f"probe of the same features of {target} {100 * linear:.1f} %: try another encoder "
                f"(encoders in dataset/{dataset}.yaml), more epochs or another learning rate "
                "(training there) before you compare methods."
            )
    return found


def supported(records: Records) -> list[str]:
    """What the runs show about AMID: its student against plain knowledge distillation, where the
    table has that row, else against the student alone; a sentence a data set."""
    found = []
    for dataset, rows in records.items():
        other = _other(rows)
        if other is None or not rows.get(REFERENCE) or not rows[REFERENCE][0].labels:
            continue
        title = TITLES.get(other, other)
        ours, theirs = _students(rows[REFERENCE]), _students(rows[other])
        gains = ours - theirs
        mean, half = float(gains.mean()), interval(gains, LEVEL)
        where = "above" if mean >= 0 else "below"
        sentence = f"{dataset}: AMID is {abs(mean):.1f} points {where} '{title}'"
        if half is None:
            found.append(f"{sentence} with one seed, which shows nothing: train with more `seeds`.")
            continue
        if paired_t(ours, theirs) is None:
            found.append(f"{sentence} in each of {len(gains)} seeds: no spread to compare it with.")
            continue
        sentence += f" (95 % interval {mean - half:+.1f} to {mean + half:+.1f}): "
        if abs(mean) > half:
            found.append(f"{sentence}shown, with {len(gains)} seeds on these test clips.")
            continue
        needed = (
            seeds_needed(
                abs(mean), float(np.std(gains, ddof=1)), paired=True, power=POWER, level=LEVEL
            )
            if mean
            else None
        )
        seeds = "more than 10,000" if needed is None else f"about {needed}"
        found.append(
            f"{sentence}not shown with {len(gains)} seeds; a difference of this size would need "
            f"{seeds}."
        )
    return found


def _other(rows: Mapping[str, Sequence[RunRecord]]) -> str | None:
    """The row that AMID is compared with."""
    if rows.get(PLAIN):
        return PLAIN
    alone = (name for name, runs in rows.items() if runs and runs[0].spec.method == "baseline")
    return next(alone, None)


def _students(runs: Sequence[RunRecord]) -> np.ndarray:
    """(seeds,) test Top-1 of the students in per cent."""
    return 100 * np.array([run.accuracy("student") for run in runs])


def _error(share: float, clips: int) -> float:
    """Standard error of a share of `clips`."""
    return math.sqrt(share * (1 - share) / clips)
