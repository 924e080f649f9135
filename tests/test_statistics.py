"""Means, tests and Holm's correction against scipy, hand computation and explicit loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from amid.statistics import holm, mean_std, paired_over_seeds_and_clips, paired_t


def test_the_deviation_is_the_sample_deviation() -> None:
    assert mean_std([70.0, 74.0, 72.0]) == (72.0, 2.0)
    assert mean_std([70.0, None, 74.0]) == (72.0, pytest.approx(math.sqrt(8)))


def test_one_value_has_no_deviation_and_none_no_mean() -> None:
    assert mean_std([70.0]) == (70.0, None)
    assert mean_std([None, None]) == (None, None)


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
    assert paired_t([0.5], [0.6]) is None  # one pair
    assert paired_t([0.5, 0.75], [0.25, 0.5]) is None  # no spread of the differences
    assert paired_over_seeds_and_clips(None, np.ones((2, 3))) == (None, None)
