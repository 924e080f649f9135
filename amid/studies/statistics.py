"""Aggregate statistics over runs: mean and deviation, paired tests, Holm's correction."""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Differences that are this close, as a share of the values compared, are equal but for rounding. Of
# accuracies it is far below one clip in a million.
ROUNDING = 1e-12


class Spread(NamedTuple):
    """Mean and sample standard deviation, None where there are too few values."""

    mean: float | None
    std: float | None


class Paired(NamedTuple):
    """p values of two-sided paired t tests between two configurations, None where undefined.

    seeds: over the accuracies of the seeds: would other seeds agree, on these test clips?
    clips: over the test clips, each with its mean over the seeds: would other clips agree, with
        these seeds?
    """

    seeds: float | None
    clips: float | None


def mean_std(values: Sequence[float | None]) -> Spread:
    """Mean and deviation of the values that are not None; a single value has no deviation."""
    given = [value for value in values if value is not None]
    if not given:
        return Spread(None, None)
    std = float(np.std(given, ddof=1)) if len(given) > 1 else None
    return Spread(float(np.mean(given)), std)


def paired_t(values: Sequence[float], others: Sequence[float]) -> float | None:
    """p value of the two-sided paired t test; None where all differences are equal (but for
    rounding: 15/20 - 14/20 and 17/20 - 16/20 are not the same float)."""
    from scipy.stats import ttest_rel

    if len(values) < 2 or _equal(np.subtract(values, others), np.abs([values, others]).max()):
        return None
    return float(ttest_rel(values, others).pvalue)


def paired_over_seeds_and_clips(right: np.ndarray | None, other: np.ndarray | None) -> Paired:
    """Both tests, for (seeds, clips) arrays with 1 where a run is right; None: no predictions."""
    if right is None or other is None:
        return Paired(None, None)
    return Paired(paired_t(right.mean(1), other.mean(1)), paired_t(right.mean(0), other.mean(0)))


def _equal(differences: np.ndarray, size: float) -> bool:
    """Whether differences of values of at most `size` have no spread but that of rounding."""
    return bool(np.ptp(differences) <= ROUNDING * size)


def variance_test(values: np.ndarray) -> float | None:
    """p value of the F test that all rows have the same mean, in a two-way layout without
    interaction (a repeated-measures analysis of variance).

    values: (rows, blocks). Blocks are seeds, which all rows share: an effect of a seed on all rows
    is not noise. None with fewer than two rows or blocks, or where the rows differ by the same in
    every block, but for rounding: there is no noise to compare with.
    """
    from scipy.stats import f

    rows, blocks = values.shape
    if rows < 2 or blocks < 2:
        return None
    centred = values - values.mean()
    of_rows = blocks * np.square(centred.mean(1)).sum()
    noise = centred - centred.mean(1, keepdims=True) - centred.mean(0)
    if _equal(noise, np.abs(values).max()):
        return None
    degrees = (rows - 1, (rows - 1) * (blocks - 1))
    rest = np.square(noise).sum() / degrees[1]
    return float(f.sf(of_rows / degrees[0] / rest, *degrees))


def interval(values: Sequence[float], level: float) -> float | None:
    """Half the width of the confidence interval of the mean, by Student's t distribution, that
    misses the true mean with probability `level`; None of fewer than two values."""
    from scipy.stats import sem, t

    if len(values) < 2:
        return None
    return float(t.ppf(1 - level / 2, len(values) - 1) * sem(values))


def friedman(values: np.ndarray) -> float | None:
    """p value of Friedman's test (1937) that all rows rank alike within the blocks.

    values: (rows, blocks). None with fewer than three rows or two blocks, or where all rows are the
    same in every block.
    """
    from scipy.stats import friedmanchisquare

    rows, blocks = values.shape
    if rows < 3 or blocks < 2 or (values == values[0]).all():
        return None
    return float(friedmanchisquare(*values).pvalue)


def critical_difference(rows: int, blocks: int, *, level: float) -> float | None:
    """How far apart the mean ranks of two rows over `blocks` have to be for Nemenyi's test (1963)
    to tell them apart at `level`, all pairs of rows taken together; None for a single row.

    Source: Demšar, "Statistical comparisons of classifiers over multiple data sets" (2006), 3.2.2.
    """
    from scipy.stats import studentized_range

    if rows < 2:
        return None
    quantile = studentized_range.ppf(1 - level, rows, np.inf) / math.sqrt(2)
    return float(quantile * math.sqrt(rows * (rows + 1) / (6 * blocks)))


class Pooled(NamedTuple):
    """Standard deviation pooled over groups, its degrees of freedom and upper 95 % bound."""

    std: float
    degrees: int
    upper: float


def pooled_std(groups: Sequence[Sequence[float]]) -> Pooled | None:
    """Pool the deviations of groups that differ in mean; None where no group has two values."""
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
    """Seeds per configuration with which a two-sided t test at `level` detects `difference` with
    probability `power`, by the noncentral t distribution; None above `limit`.

    std: of one configuration over the seeds or, if paired, of the differences seed by seed.
    Computed as the noncentral F distribution of t squared, both tails in one: scipy's `nct.cdf` is
    NaN in the far tail of a large difference.
    """
    from scipy.stats import ncf, t

    def found(n: int) -> bool:
        degrees = n - 1 if paired else 2 * (n - 1)
        shift = difference / std * math.sqrt(n if paired else n / 2)
        shift = min(shift, 1e8)  # the power grows with it, is 1 there, and NaN further on
        critical = t.ppf(1 - level / 2, degrees)
        return ncf.sf(critical**2, 1, degrees, shift**2) >= power

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
    """p values after Holm's step-down correction (1979, by statsmodels), in the given order.

    Undefined ones (None or NaN) become NaN and do not count as tests.
    """
    from statsmodels.stats.multitest import multipletests

    corrected = np.array(p_values, dtype=float)  # None becomes NaN
    defined = ~np.isnan(corrected)
    if defined.any():
        gc.freeze()  # statsmodels collects garbage here, for a third of a second beside torch
        try:
            corrected[defined] = multipletests(corrected[defined], method="holm")[1]
        finally:
            gc.unfreeze()
    return corrected.tolist()
