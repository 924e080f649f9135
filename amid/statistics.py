"""What is said of several runs at once: means with deviations, paired tests, Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Spread(NamedTuple):
    """Mean and sample standard deviation, None where there are too few values."""

    mean: float | None
    std: float | None


class Paired(NamedTuple):
    """p of two-sided paired tests of a configuration against another, None where undefined.

    seeds: t test over the seeds' accuracies: would other seeds agree on these test clips?
    clips: t test over the test clips, each counted with its mean over the seeds: would other
        clips agree, with these seeds?
    """

    seeds: float | None
    clips: float | None


def mean_std(values: Sequence[float | None]) -> Spread:
    """Of the values that are not None; one value has no deviation."""
    given = [value for value in values if value is not None]
    if not given:
        return Spread(None, None)
    std = float(np.std(given, ddof=1)) if len(given) > 1 else None
    return Spread(float(np.mean(given)), std)


def paired_t(values: Sequence[float], others: Sequence[float]) -> float | None:
    """p of the two-sided paired t test (scipy); None where the differences have no spread."""
    from scipy.stats import ttest_rel

    if len(values) < 2 or np.ptp(np.subtract(values, others)) == 0:
        return None
    return float(ttest_rel(values, others).pvalue)


def paired_over_seeds_and_clips(right: np.ndarray | None, other: np.ndarray | None) -> Paired:
    """Both tests, of (seeds, clips) arrays with 1 where a run is right; None: no predictions."""
    if right is None or other is None:
        return Paired(None, None)
    return Paired(paired_t(right.mean(1), other.mean(1)), paired_t(right.mean(0), other.mean(0)))


def holm(p_values: Sequence[float | None]) -> list[float]:
    """Holm's step-down correction (1979) over the defined p among `p_values`, in their order.

    The k-th smallest of m (k from 0) becomes p (m - k), at least what a smaller p became, at most
    1. Undefined ones (None or NaN) stay NaN and do not count in m.
    """
    corrected = [math.nan] * len(p_values)
    defined = [n for n, p in enumerate(p_values) if p is not None and not math.isnan(p)]
    floor = 0.0
    for k, n in enumerate(sorted(defined, key=lambda n: p_values[n])):
        floor = max(floor, min(1.0, p_values[n] * (len(defined) - k)))
        corrected[n] = floor
    return corrected
