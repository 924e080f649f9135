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


def variance_test(values: np.ndarray) -> float | None:
    """p that the rows' means differ by no more than noise: (rows, blocks) -> F test, two-way
    without interaction; None where there is nothing to test.

    Blocks are seeds, which all rows share: what a seed adds to all rows is not noise.
    """
    from scipy.stats import f

    rows, blocks = values.shape
    if rows < 2 or blocks < 2:
        return None
    centred = values - values.mean()
    of_rows = blocks * np.square(centred.mean(1)).sum()
    of_blocks = rows * np.square(centred.mean(0)).sum()
    rest = np.square(centred).sum() - of_rows - of_blocks
    if rest <= 1e-9 * np.square(values).sum():  # rounding: there is no noise to compare with
        return None
    degrees = (rows - 1, (rows - 1) * (blocks - 1))
    return float(f.sf(of_rows / degrees[0] / (rest / degrees[1]), *degrees))


class Pooled(NamedTuple):
    """A standard deviation pooled over groups, its degrees of freedom and an upper 95 % bound."""

    std: float
    degrees: int
    upper: float


def pooled_std(groups: Sequence[Sequence[float]]) -> Pooled | None:
    """Of groups with means of their own; None where no group has two values."""
    from scipy.stats import chi2

    degrees = sum(len(group) - 1 for group in groups)
    if degrees < 1:
        return None
    squares = sum(np.square(np.subtract(group, np.mean(group))).sum() for group in groups)
    upper = squares / chi2.ppf(0.05, degrees)
    return Pooled(float(np.sqrt(squares / degrees)), degrees, float(np.sqrt(upper)))


def seeds_needed(
    difference: float, std: float, *, paired: bool, power: float, level: float, limit: int = 10_000
) -> int | None:
    """Seeds a side with which a two-sided t test finds `difference` with probability `power`.

    std: of one configuration over seeds, or, paired, of the differences seed by seed. By the
    noncentral t distribution; None above `limit`.
    """
    from scipy.stats import nct, t

    def found(n: int) -> bool:
        degrees = n - 1 if paired else 2 * (n - 1)
        shift = difference / std * math.sqrt(n if paired else n / 2)
        critical = t.ppf(1 - level / 2, degrees)
        return nct.sf(critical, degrees, shift) + nct.cdf(-critical, degrees, shift) >= power

    if std == 0:
        return 2
    low, high = 1, 2  # a power that grows with n: double, then halve the interval
    while not found(high):
        low, high = high, 2 * high
        if low >= limit:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


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
