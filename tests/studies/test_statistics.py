"""Means, tests and Holm's correction against scipy, statsmodels, hand computation and loops."""

from __future__ import annotations

import gc
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from amid.studies.statistics import (
    critical_difference,
    friedman,
    holm,
    interval,
    mean_std,
    paired_over_seeds_and_clips,
    paired_t,
    pooled_std,
    seeds_needed,
    variance_test,
)


def test_the_deviation_is_the_sample_deviation() -> None:
    assert mean_std([70.0, 74.0, 72.0]) == (72.0, 2.0)
    assert mean_std([70.0, None, 74.0]) == (72.0, pytest.approx(math.sqrt(8)))


def test_one_value_has_no_deviation_and_none_no_mean() -> None:
    assert mean_std([70.0]) == (70.0, None)
    assert mean_std([None, None]) == (None, None)


def test_holm_looks_at_nothing_but_its_values() -> None:
    """statsmodels collects all garbage, which takes the longer, the more a process holds."""
    walked = []

    class Garbage:
        def __del__(self) -> None:
            walked.append(True)

    gc.collect()
    gc.disable()
    try:
        circle = Garbage()
        circle.itself = circle
        del circle
        assert holm([0.01, 0.04]) == [0.02, 0.04]
        assert walked == []
    finally:
        gc.enable()
    gc.collect()
    assert walked == [True]  # frozen for the call alone


def test_holm_on_an_example_by_hand() -> None:
    # smallest first: 4 * .005 = .02, 3 * .01 = .03, 2 * .03 = .06, 1 * .04 but at least .06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_is_its_definition_in_a_loop() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 9):
        p = rng.random(size) ** 3
        order = np.argsort(p)
        wanted = np.empty(size)
        for rank in range(size):
            steps = [min(1.0, (size - k) * p[order[k]]) for k in range(rank + 1)]
            wanted[order[rank]] = max(steps)
        assert holm(list(p)) == pytest.approx(list(wanted))


# What our own code gave before statsmodels', to the last bit.
HOLM_BEFORE = [
    ([0.2], [0.2]),
    ([0.9, 0.6], [1.0, 1.0]),
    ([0.03, 0.03, 0.03], [0.09, 0.09, 0.09]),
    ([0.001, 0.2, 0.04, 0.013], [0.004, 0.2, 0.08, 0.039]),
    ([0.0, 1.0, 1e-300, 0.5], [0.0, 1.0, 3e-300, 1.0]),
    ([0.012, None, 0.031, math.nan, 0.8, 0.011], [0.044, math.nan, 0.062, math.nan, 0.8, 0.044]),
    ([1e-05, 0.049, 0.05, 0.051, 0.3], [5e-05, 0.196, 0.196, 0.196, 0.3]),
]


@pytest.mark.parametrize(("values", "before"), HOLM_BEFORE)
def test_holm_is_to_the_last_bit_what_it_was(values, before) -> None:
    np.testing.assert_array_equal(holm(values), before)


def test_holm_leaves_undefined_tests_out_of_the_count() -> None:
    corrected = holm([0.02, None, 0.03, math.nan])
    assert corrected[0] == pytest.approx(0.04)
    assert corrected[2] == pytest.approx(0.04)
    assert math.isnan(corrected[1])
    assert math.isnan(corrected[3])
    assert holm([]) == []


def test_paired_tests_are_scipys() -> None:
    rng = np.random.default_rng(1)
    right, other = rng.integers(0, 2, (2, 3, 40)).astype(float)
    tests = paired_over_seeds_and_clips(right, other)
    assert tests.seeds == ttest_rel(right.mean(1), other.mean(1)).pvalue
    assert tests.clips == ttest_rel(right.mean(0), other.mean(0)).pvalue


def test_undefined_tests_are_none() -> None:
    assert paired_t([], []) is None
    assert paired_t([0.5], [0.6]) is None  # one pair
    assert paired_t([0.0, 0.0], [0.0, 0.0]) is None  # all zero, so that rounding is too
    # of two differences, 1 and 2, t is 3 with one degree of freedom: Student's is Cauchy's there
    assert paired_t([1.0, 2.0], [0.0, 0.0]) == pytest.approx(1 - 2 * math.atan(3.0) / math.pi)
    assert paired_t([0.5, 0.75], [0.25, 0.5]) is None  # no spread of the differences
    assert paired_over_seeds_and_clips(None, np.ones((2, 3))) == (None, None)
    assert paired_over_seeds_and_clips(np.ones((2, 3)), None) == (None, None)


@pytest.mark.parametrize("clips", [20, 30, 97, 1000])
def test_differences_that_are_equal_but_for_rounding_are_equal(clips: int) -> None:
    """Not None or a p of 1e-31, by which of two fractions happens to be exact."""
    right = [clips // 2, clips // 2 + 1, clips // 2 + 3]
    values, others = ([(n - less) / clips for n in right] for less in (0, 1))
    assert paired_t(values, others) is None
    assert paired_t([100 * v for v in values], [100 * v for v in others]) is None
    assert variance_test(np.array([values, others])) is None
    pooled = pooled_std([np.subtract(values, others)])
    assert seeds_needed(1.0, 100 * pooled.std, paired=True, power=0.8, level=0.05) == 2


def test_the_smallest_difference_there_is_counts() -> None:
    """One clip of a million, in per cent, of one seed."""
    values, others = np.array([[70.0001, 70.0, 80.0], [70.0, 70.0, 80.0]])
    exact = ttest_rel([1.0, 0.0, 0.0], [0.0, 0.0, 0.0]).pvalue  # t does not depend on the unit
    assert paired_t(values, others) == pytest.approx(exact, rel=1e-6)
    assert variance_test(np.array([values, others])) == pytest.approx(exact, rel=1e-6)


def test_the_variance_test_is_the_two_way_analysis_in_loops() -> None:
    values = np.random.default_rng(2).normal(70, 2, (4, 3)) + np.arange(3) * 5
    rows, blocks = values.shape
    total = values.mean()
    between = rest = 0.0
    for i in range(rows):
        for j in range(blocks):
            row, block = values[i].mean(), values[:, j].mean()
            between += (row - total) ** 2
            rest += (values[i, j] - row - block + total) ** 2
    ratio = (between / (rows - 1)) / (rest / ((rows - 1) * (blocks - 1)))
    assert variance_test(values) == pytest.approx(f_oneway_tail(ratio, 3, 6))
    # of two rows it is the paired t test
    assert variance_test(values[:2]) == pytest.approx(ttest_rel(values[0], values[1]).pvalue)


@pytest.mark.parametrize("rows", [2, 3, 8])
@pytest.mark.parametrize("blocks", [2, 3, 5])
def test_the_variance_test_is_that_of_statsmodels(rows: int, blocks: int) -> None:
    from statsmodels.stats.anova import AnovaRM

    rng = np.random.default_rng(10 * rows + blocks)
    for spread in (0.0, 1.0, 4.0):
        values = rng.normal(70, 2, (rows, blocks)) + spread * rng.normal(size=(rows, 1))
        cells = [(j, i, values[i, j]) for i in range(rows) for j in range(blocks)]
        frame = pd.DataFrame(cells, columns=["seed", "row", "accuracy"])
        table = AnovaRM(frame, "accuracy", "seed", within=["row"]).fit().anova_table
        wanted = table["Pr > F"].iloc[0]
        assert variance_test(values) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def f_oneway_tail(ratio: float, between: int, within: int) -> float:
    from scipy.integrate import quad
    from scipy.special import beta

    def density(x: float) -> float:
        a, b = between / 2, within / 2
        return (
            (between / within) ** a
            * x ** (a - 1)
            / beta(a, b)
            / (1 + between * x / within) ** (a + b)
        )

    return quad(density, ratio, math.inf)[0]


def test_nothing_to_compare_is_none() -> None:
    assert variance_test(np.ones((3, 1))) is None
    assert variance_test(np.ones((1, 3))) is None
    assert variance_test(np.full((3, 3), 70.1)) is None
    assert pooled_std([[1.0], [2.0]]) is None


def test_rounding_is_no_noise_to_compare_with() -> None:
    for seed in range(20):
        rows, blocks = np.random.default_rng(seed).normal(0, 1e5, (2, 4))
        assert variance_test(rows[:, None] + blocks) is None


def test_the_pooled_deviation_weighs_groups_by_their_degrees() -> None:
    groups = [[1.0, 3.0], [10.0, 10.0, 13.0]]
    pooled = pooled_std(groups)
    assert pooled.degrees == 3
    assert pooled.std == pytest.approx(math.sqrt((2 + 6) / 3))
    # a chi-square variable with 3 degrees is below .352 in 5 % of cases (published tables)
    assert pooled.upper == pytest.approx(math.sqrt(8 / 0.352), rel=1e-3)


@pytest.mark.parametrize(
    ("difference", "std", "paired", "wanted"),
    [
        (0.5, 1.0, False, 64),  # Cohen (1988): 64 a group for d = .5, 26 for d = .8
        (0.8, 1.0, False, 26),
        (0.5, 1.0, True, 34),
        (100.0, 1.0, False, 2),
        (1.0, 0.0, True, 2),
    ],
)
def test_seeds_needed_are_those_of_published_tables(difference, std, paired, wanted) -> None:
    got = seeds_needed(difference, std, paired=paired, power=0.8, level=0.05)
    assert got == wanted


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(("power", "level"), [(0.5, 0.05), (0.8, 0.05), (0.9, 0.01)])
@pytest.mark.parametrize("effect", [0.05, 0.2, 0.5, 1.0, 2.0])
def test_so_many_seeds_have_the_power_and_one_less_has_not(paired, power, level, effect) -> None:
    from statsmodels.stats.power import TTestIndPower, TTestPower

    n = seeds_needed(effect, 1.0, paired=paired, power=power, level=level)
    model = TTestPower() if paired else TTestIndPower()
    assert model.power(effect, n, level) >= power
    assert n == 2 or model.power(effect, n - 1, level) < power


def test_the_power_is_what_simulated_experiments_show() -> None:
    n = seeds_needed(1.0, 1.2, paired=False, power=0.8, level=0.05)
    rng = np.random.default_rng(3)
    from scipy.stats import ttest_ind

    def share(count: int) -> float:
        a, b = rng.normal(0, 1.2, (2, 4000, count))
        return float((ttest_ind(a + 1.0, b, axis=1).pvalue < 0.05).mean())

    assert share(n) > 0.8 - 0.02
    assert share(n - 2) < 0.8 + 0.01


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("level", [0.001, 0.05])
def test_the_larger_the_difference_the_fewer_seeds_up_to_any_size(paired, level) -> None:
    """Also where scipy's noncentral t distribution is NaN, such as at 37 deviations (level 0.05,
    unpaired), which asked for more seeds than 36."""
    differences = [*np.geomspace(0.5, 100, 120), 37.0, 50.0, 1e3, 1e9, 1e20]
    needed = [
        seeds_needed(difference, 1.0, paired=paired, power=0.8, level=level)
        for difference in sorted(differences)
    ]
    assert needed == sorted(needed, reverse=True)
    assert needed[0] > 30
    assert needed[-1] == 2


def test_two_seeds_a_side_find_what_is_37_deviations_large() -> None:
    # n = 2: |t| of 2 degrees, shift 37, is above 4.30 with a probability of 1 - 1e-29
    assert seeds_needed(37.0, 1.0, paired=False, power=0.8, level=0.05) == 2
    assert seeds_needed(50.0, 1.0, paired=False, power=0.999, level=0.05) == 2
    assert seeds_needed(1.0, 1e-200, paired=True, power=0.8, level=0.05) == 2


def test_a_hopeless_difference_is_none() -> None:
    assert seeds_needed(0.001, 10.0, paired=False, power=0.8, level=0.05, limit=100) is None


def test_an_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(3.0, 2.0, size=(4000, 5))
    held = [abs(sample.mean() - 3.0) <= interval(sample, 0.1) for sample in samples]
    assert np.mean(held) == pytest.approx(0.9, abs=0.015)
    assert interval([1.0], 0.05) is None
    # by hand: deviation sqrt(2), t(1) at .975 is 12.7062
    assert interval([1.0, 3.0], 0.05) == pytest.approx(12.7062047 * math.sqrt(2) / math.sqrt(2))


def test_friedman_on_an_example_by_hand() -> None:
    # ranks 1 2 3 in each of four blocks: 12 / (4 * 3 * 4) * (4**2 + 8**2 + 12**2) - 3 * 4 * 4 = 8
    values = np.array([[3.0] * 4, [2.0] * 4, [1.0] * 4])
    assert friedman(values) == pytest.approx(math.exp(-8 / 2))  # of chi squared with 2 degrees
    two = np.array(
        [[3.0, 6.0], [2.0, 5.0], [1.0, 4.0]]
    )  # 12 / (2 * 12) * (2**2 + 4**2 + 6**2) - 24
    assert friedman(two) == pytest.approx(math.exp(-4 / 2))
    assert friedman(values[:2]) is None
    assert friedman(values[:, :1]) is None
    assert friedman(np.tile([1.0, 2.0, 3.0], (3, 1))) is None


@pytest.mark.parametrize(
    ("rows", "quantile"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)]
)
def test_the_critical_difference_has_the_published_quantiles(rows: int, quantile: float) -> None:
    """Demšar (2006), Table 5(a), level 0.05."""
    wanted = quantile * math.sqrt(rows * (rows + 1) / (6 * 14))
    assert critical_difference(rows, 14, level=0.05) == pytest.approx(wanted, abs=2e-3)
    assert critical_difference(1, 14, level=0.05) is None
