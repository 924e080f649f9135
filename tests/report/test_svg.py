"""Charts: where things stand, and what their bytes do not hang on."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amid.report import svg


@given(st.floats(-1e4, 1e4), st.floats(0, 1e4))
def test_ticks_are_round_even_and_hold_the_range(low: float, width: float) -> None:
    ticks = svg.nice_ticks(low, low + width)
    steps = [b - a for a, b in pairwise(ticks)]
    slack = 1e-6 * max(1.0, abs(low) + width)
    assert max(steps) - min(steps) <= 1e-6 * max(steps)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + width - slack
    assert 2 <= len(ticks) <= 9


def test_ticks_of_a_narrow_range_are_even() -> None:
    assert svg.nice_ticks(0.0, 1.1e-5) == [0, 2.5e-6, 5e-6, 7.5e-6, 1e-5, 1.25e-5]
    assert svg.nice_ticks(0.0, 1.1e-8) == [0, 2.5e-9, 5e-9, 7.5e-9, 1e-8, 1.25e-8]


def test_ticks_of_a_percentage() -> None:
    assert svg.nice_ticks(3.0, 97.0) == [0, 20, 40, 60, 80, 100]


def test_a_bar_is_as_long_as_its_number() -> None:
    bars = [svg.Bar("half", "s0", 50.0, None), svg.Bar("whole", "s1", 100.0, 2.0)]
    widths = [
        float(w) for w in re.findall(r'<rect class="bar[^>]* width="([\d.]+)"', svg.bars(bars, "%"))
    ]
    assert widths[1] / widths[0] == pytest.approx(2, abs=0.05)


def test_a_curve_rises_when_its_numbers_do_and_its_band_holds_it() -> None:
    drawn = svg.curves([svg.Curve("s0", [1, 2, 3], [0.0, 5.0, 10.0], [1.0, 1.0, 1.0])], "x", "y")
    line = re.search(r'<polyline[^>]*points="([^"]*)"', drawn)[1]
    ys = [float(point.split(",")[1]) for point in line.split()]
    assert ys == sorted(ys, reverse=True)
    band = re.search(r'<polygon[^>]*points="([^"]*)"', drawn)[1]
    edges = [float(point.split(",")[1]) for point in band.split()]
    assert len(edges) == 6
    assert min(edges) < min(ys) < max(ys) < max(edges)


def test_last_bits_do_not_show() -> None:
    values = [0.13, 0.71, 0.37]
    one = svg.curves([svg.Curve("s0", [1, 2, 3], values, [0.1] * 3)], "x", "y")
    other = svg.curves(
        [svg.Curve("s0", [1, 2, 3], [v + 1e-12 for v in values], [0.1] * 3)], "x", "y"
    )
    assert one == other


def test_a_single_value_can_be_drawn() -> None:
    assert "NaN" not in svg.curves([svg.Curve("s0", [1], [0.5])], "x", "y")
    assert "nan" not in svg.dumbbell([svg.Pair("a", 50.0, 50.0)], "%", svg.nice_ticks(50.0, 50.0))


@pytest.mark.parametrize("count", [2, 5, 26, 51])
def test_each_class_has_a_colour_of_its_own(count: int) -> None:
    assert len({svg.hue(n, count) for n in range(count)}) == count


def test_the_matrix_shades_what_occurs_and_says_how_often() -> None:
    drawn = svg.matrix([[3, 1], [0, 4]], ["<a>", "b"])
    assert drawn.count('class="cell"') == 3
    assert 'data-kind="wrong" fill-opacity="0.57"' in drawn  # a quarter: 0.15 + 0.85 / 2
    assert f'fill-opacity="{0.15 + 0.85 * math.sqrt(0.75):.2f}"' in drawn
    assert "<title>&lt;a&gt; predicted as b: 1 of 4</title>" in drawn


def test_long_names_are_cut_and_their_characters_escaped() -> None:
    drawn = svg.dumbbell([svg.Pair("<b>" + "x" * 40, 1.0, 2.0)], "%", [0.0, 1.0, 2.0])
    assert "<b>" not in drawn
    assert "&lt;b&gt;xxx" in drawn
    assert "…" in drawn
