"""What a table of methods supports, what makes it useless, and what to try, a sentence each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amid.core.types import RunRecord
from amid.studies.base import REFERENCE, TITLES, Records
from amid.studies.rendering import decimals
from amid.studies.statistics import interval, paired_t, seeds_needed

LEVEL, POWER = 0.05, 0.8  # of the tests and intervals, and of the seeds that would be needed
PLAIN = "kd"  # the bar that a method has to clear, where a table has it
# Of the rules of docs/when-it-helps.md, in per cent on validation: a teacher that is no more than
# LITTLE ahead leaves little to gain; a student alone from STRONG on lost by the paper's alpha and
# beta where it was measured (85 and 91), and gained below (61).
LITTLE, STRONG = 2.0, 80.0
GENTLE = 0.5  # alpha and beta to try then


def remarks(records: Records, probes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What makes a table useless, a sentence each: a student alone that is near chance, or below
    what a linear probe reads off the same features.

    probes: data set -> what amid.inspection.probe found; a data set may be missing. Both are told
    where the difference is beyond two standard errors of the test clips.
    """
    found = []
    for dataset, rows in records.items():
        runs = _alone(rows)
        if not runs or not runs[0].labels:
            continue
        labels = runs[0].labels
        reached = float(np.mean([run.accuracy("student") for run in runs]))
        chance = max(Counter(labels).values()) / len(labels)
        target = runs[0].spec.target
        linear = _linear(probes, dataset, target, "test")
        if reached <= chance + 2 * _error(chance, len(labels)):
            found.append(
                f"{dataset}: WARNING: the student alone reaches {100 * reached:.1f} %, chance is "
                f"{100 * chance:.1f} %: it learns nothing from {target}, so no row of this table "
                "compares methods."
            )
        if _behind(runs, linear):
            found.append(
                f"{dataset}: WARNING: the student alone reaches {100 * reached:.1f} %, a linear "
                f"probe of the same features of {target} {100 * linear:.1f} %: try another encoder "
                f"(encoders in dataset/{dataset}.yaml), more epochs or another learning rate "
                "(training there) before you compare methods."
            )
    return found


def advised(records: Records, probes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What to try next, by the rules of docs/when-it-helps.md that the numbers of validation can
    decide; a sentence each. probes: as in `remarks`. No number of the test split is used, so that
    whoever follows one of them has not chosen on it."""
    found = []
    for dataset, rows in records.items():
        runs, ours = _alone(rows), rows.get(REFERENCE) or ()
        alone = _validation(runs, "student")
        if alone is None:
            continue
        clips, target = 100 * alone, runs[0].spec.target
        linear = _linear(probes, dataset, target, "validation")
        warned = _behind(runs, _linear(probes, dataset, target, "test"))
        if linear is not None and clips <= 100 * linear + LITTLE and not warned:
            last = runs[0].spec.training.get("choose") == "last"
            how = "or longer training" if last else "the protocol strong or augmentation"
            found.append(
                f"{dataset}: on validation the student alone reaches {clips:.1f} %, a linear probe "
                f"of the same features of {target} {100 * linear:.1f} %: make it better first, by "
                f"another encoder{' ' if last else ', '}{how} (docs/training.md)."
            )
        teacher = _validation(ours, "teacher")
        if teacher is not None and 100 * teacher <= clips + LITTLE:
            found.append(
                f"{dataset}: on validation the teacher of AMID reaches {100 * teacher:.1f} %, the "
                f"student alone {clips:.1f} %: there is little to gain; pipelines/headroom bounds "
                "it (docs/training.md)."
            )
        student = _validation(ours, "student")
        weight = max((run.spec.options.get("alpha", 0.0) for run in ours), default=0.0)
        if student is not None and student <= alone and clips >= STRONG and weight > GENTLE:
            found.append(
                f"{dataset}: on validation the student alone is strong ({clips:.1f} %) and AMID is "
                f"not above it ({100 * student:.1f} %): try -S alpha={GENTLE} -S beta={GENTLE} "
                "(docs/when-it-helps.md)."
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
        sentence = f"{dataset}: AMID is {decimals(abs(mean))} points {where} '{title}'"
        if half is None:
            found.append(f"{sentence} with one seed, which shows nothing: train with more `seeds`.")
            continue
        if paired_t(ours, theirs) is None:
            found.append(f"{sentence} in each of {len(gains)} seeds: no spread to compare it with.")
            continue
        low, high = (decimals(end, sign="+") for end in (mean - half, mean + half))
        sentence += f" (95 % interval {low} to {high}): "
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
    return next((name for name, runs in rows.items() if runs and runs == _alone(rows)), None)


def _alone(rows: Mapping[str, Sequence[RunRecord]]) -> Sequence[RunRecord]:
    """The runs of the first row of the student alone; () without one."""
    return next((runs for runs in rows.values() if runs and runs[0].spec.method == "baseline"), ())


def _linear(
    probes: Mapping[str, Mapping[str, Any]], dataset: str, target: str, split: str
) -> float | None:
    """Accuracy of the linear probe of the target's features on a split, 0..1."""
    return probes.get(dataset, {}).get("modalities", {}).get(target, {}).get(split)


def _behind(runs: Sequence[RunRecord], linear: float | None) -> bool:
    """Whether the students are behind a linear probe on the test clips beyond two standard errors
    of these clips."""
    if linear is None or not runs[0].labels:
        return False
    reached = float(np.mean([run.accuracy("student") for run in runs]))
    return reached < linear - 2 * _error(linear, len(runs[0].labels))


def _validation(runs: Sequence[RunRecord], head: str) -> float | None:
    """Mean over the runs of a head's accuracy on validation at the best epoch, 0..1; None where
    there are no such runs or a run has no such number."""
    values = [run.history[run.best_epoch].get(f"validation_{head}") for run in runs]
    return None if not values or None in values else float(np.mean(values))


def _students(runs: Sequence[RunRecord]) -> np.ndarray:
    """(seeds,) test Top-1 of the students in per cent."""
    return 100 * np.array([run.accuracy("student") for run in runs])


def _error(share: float, clips: int) -> float:
    """Standard error of a share of `clips`."""
    return math.sqrt(share * (1 - share) / clips)
