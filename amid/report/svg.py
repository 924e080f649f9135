"""Small charts as SVG, for what no figure of the paper shows.

Colours are classes of the style sheet, so that they follow light and dark; curves differ in their
dashes as well. Coordinates are rounded to one decimal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from amid.studies.rendering import decimals

WIDTH = 340.0  # of a panel: fits a phone without scaling
LEFT, RIGHT, TOP, BOTTOM = 48.0, 10.0, 10.0, 34.0
LETTER = 6.2  # average width of a letter of the labels, in pixels
LONGEST = 22  # letters of a class name that are shown
NAMED = 60  # with more classes the names would hide the points


class Curve(NamedTuple):
    """A line. style: class of the style sheet. std: half the height of its band."""

    style: str
    x: Sequence[float]
    y: Sequence[float]
    std: Sequence[float] = ()


class Bar(NamedTuple):
    name: str
    style: str
    mean: float
    std: float | None


class Pair(NamedTuple):
    """The accuracies of two configurations; `second` is drawn hollow."""

    name: str
    first: float
    second: float


def curves(
    given: Sequence[Curve], x_label: str, y_label: str, *, line_at: float | None = None
) -> Markup:
    """Lines with bands. line_at: x of a vertical line, where the warm-up ends."""
    height = 230.0
    spread = [v for c in given for v in _edges(c.y, c.std)]
    ticks = nice_ticks(min(spread), max(spread))
    x0, x1 = given[0].x[0], max(curve.x[-1] for curve in given)
    sides = (LEFT, WIDTH - RIGHT)
    across = _scale(x0, x1, *sides)
    up = _scale(ticks[0], ticks[-1], height - BOTTOM, TOP)
    parts = _frame(ticks, up, sides, y_label)
    parts += _below([x for x in nice_ticks(x0, x1) if x0 <= x <= x1], across, height, x_label)
    if line_at is not None and x0 < line_at < x1:
        place = across(line_at)
        parts.append(_line(place, TOP, place, height - BOTTOM, "mark"))
        parts.append(_text(place + 4, TOP + 9, "warm-up ends", "remark"))
    for curve in given:
        if any(curve.std):
            lower = [(across(x), up(y - s)) for x, y, s in zip(*curve[1:], strict=True)]
            upper = [(across(x), up(y + s)) for x, y, s in zip(*curve[1:], strict=True)]
            path = " ".join(_point(*p) for p in (*lower, *reversed(upper)))
            parts.append(Markup('<polygon class="band {}" points="{}"/>').format(curve.style, path))
        path = " ".join(_point(across(x), up(y)) for x, y in zip(curve.x, curve.y, strict=True))
        parts.append(Markup('<polyline class="curve {}" points="{}"/>').format(curve.style, path))
    return drawing(WIDTH, height, parts)


def bars(given: Sequence[Bar], x_label: str) -> Markup:
    """Horizontal bars from 0 with error bars of one standard deviation, each below its name."""
    row, top = 42.0, 4.0
    height = top + row * len(given) + BOTTOM
    ticks = nice_ticks(0.0, max(bar.mean + (bar.std or 0.0) for bar in given))
    across = _scale(ticks[0], ticks[-1], 8.0, WIDTH - 52)
    parts = _below(ticks, across, height, x_label)
    for number, bar in enumerate(given):
        y, end = top + row * number, across(bar.mean)
        parts.append(_text(8, y + 11, bar.name, "name"))
        parts.append(
            Markup('<rect class="bar {}" x="8" y="{}" width="{}" height="16" rx="2"/>').format(
                bar.style, _number(y + 17), _number(end - 8)
            )
        )
        if bar.std:
            low, high = across(bar.mean - bar.std), across(bar.mean + bar.std)
            parts += _error_bar(low, y + 25, high, y + 25)
            end = high
        parts.append(_text(end + 8, y + 29, decimals(bar.mean), "value"))
    return drawing(WIDTH, height, parts)


def dumbbell(given: Sequence[Pair], x_label: str, ticks: Sequence[float]) -> Markup:
    """One row per name: two accuracies joined by a line. ticks: of the accuracies."""
    row, top = 16.0, 6.0
    height = top + row * len(given) + BOTTOM
    left = 12 + LETTER * min(LONGEST, max(len(pair.name) for pair in given))
    across = _scale(ticks[0], ticks[-1], left, WIDTH - RIGHT)
    parts = _below(ticks, across, height, x_label, top)
    for number, pair in enumerate(given):
        y = top + row * (number + 0.5)
        first, second = across(pair.first), across(pair.second)
        style = "way s0" if pair.first >= pair.second else "way s2"
        parts.append(_text(left - 8, y + 3.5, shortened(pair.name), "tick end"))
        parts.append(_line(second, y, first, y, style))
        parts.append(_ring(second, y, 3.6, "hollow s2"))
        parts.append(_ring(first, y, 3.6, "dot s0"))
    return drawing(WIDTH, height, parts)


def scatter(
    points: Sequence[tuple[int, float, float]], classes: Sequence[str], *, hollow: bool
) -> Markup:
    """Points (class, x, y in 0..1) in the colours of their classes, with names at the medians; with
    more than NAMED classes, names are tooltips only."""
    size, rim = WIDTH, 14.0
    of: dict[int, list[tuple[float, float]]] = {}
    for label, x, y in points:
        of.setdefault(label, []).append((rim + x * (size - 2 * rim), rim + y * (size - 2 * rim)))
    parts = [Markup('<rect class="plane" x="0.5" y="0.5" width="{0}" height="{0}"/>')
             .format(_number(size - 1))]  # fmt: skip
    names = []
    for label, places in sorted(of.items()):
        look = "fill" if not hollow else "stroke"
        rings = Markup("").join(
            Markup('<circle cx="{}" cy="{}" r="3.2"/>').format(_number(x), _number(y))
            for x, y in places
        )
        parts.append(
            Markup('<g class="cloud {}" {}="{}"><title>{}</title>{}</g>').format(
                "rings" if hollow else "full", look, hue(label, len(classes)), classes[label],
                rings,
            )
        )  # fmt: skip
        x = sorted(place[0] for place in places)[len(places) // 2]
        y = sorted(place[1] for place in places)[len(places) // 2]
        names.append(_text(x, y - 5, shortened(classes[label]), "cloudname"))
    return drawing(size, size, [*parts, *(names if len(of) <= NAMED else [])])


def matrix(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Markup:
    """Confusion matrix, rows true and columns predicted classes, shaded by share of the row."""
    n = len(classes)
    longest = min(LONGEST, max(len(name) for name in classes))
    cell = max(6.0, min(40.0, (220.0 if n <= 12 else 468.0) / n))
    named = cell >= 9
    edge = 12 + LETTER * longest if named else 8.0
    size = edge + n * cell + 8
    parts = []
    for row, numbers in enumerate(counts):
        whole = sum(numbers) or 1
        y = edge + row * cell
        if named:
            parts.append(_text(edge - 5, y + cell / 2 + 3.5, shortened(classes[row]), "tick end"))
            x = edge + (row + 0.5) * cell
            turned = Markup('<text class="tick" transform="translate({} {}) rotate(-90)">{}</text>')
            parts.append(
                turned.format(_number(x + 3.5), _number(edge - 5), shortened(classes[row]))
            )
        for column, count in enumerate(numbers):
            place = (_number(edge + column * cell), _number(y), _number(cell - 1))
            box = '<rect class="cell" x="{0}" y="{1}" width="{2}" height="{2}"{3}>{4}</rect>'
            told, shade = Markup(""), Markup("")
            if count:
                kind = "right" if row == column else "wrong"
                shade = Markup(' data-kind="{}" fill-opacity="{:.2f}"').format(
                    kind, 0.15 + 0.85 * math.sqrt(count / whole)
                )
                told = Markup("<title>{} predicted as {}: {} of {}</title>").format(
                    classes[row], classes[column], count, whole
                )
                parts.append(Markup(box).format(*place, shade, told))
    grid = Markup('<rect class="plane" x="{0}" y="{0}" width="{1}" height="{1}"/>')
    return drawing(size, size, [grid.format(_number(edge - 1), _number(n * cell + 1)), *parts])


def hue(number: int, count: int) -> str:
    """A colour for class `number` of `count`, far from the others; readable on light and dark."""
    step = 0.382 if count > 6 else 1 / max(count, 1)
    angle = round(360 * ((number * step) % 1))
    return f"hsl({angle} {62 if number % 2 else 78}% {52 if number % 3 else 46}%)"


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """About `about` evenly spaced round numbers from at most `low` to at least `high`."""
    span = high - low
    if span < 1e-9 * max(1.0, abs(low), abs(high)):  # a single value
        span = max(1.0, abs(high))
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    digits = max(10, 4 - math.floor(math.log10(step)))  # after the point: four of the step itself
    return [round(number * step, digits) for number in range(first, last + 1)]


def shortened(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _edges(y: Sequence[float], std: Sequence[float]) -> list[float]:
    spread = std or [0.0] * len(y)
    return [edge for v, s in zip(y, spread, strict=True) for edge in (v - s, v + s)]


def _scale(low: float, high: float, first: float, last: float):
    width = (high - low) or 1.0
    return lambda value: first + (value - low) / width * (last - first)


def _frame(ticks: Sequence[float], up, sides: tuple[float, float], label: str) -> list[Markup]:
    """Horizontal grid lines with tick labels, and the label of the y axis."""
    parts = []
    for tick in ticks:
        parts.append(_line(sides[0], up(tick), sides[1], up(tick), "grid"))
        parts.append(_text(sides[0] - 5, up(tick) + 3.5, f"{tick:g}", "tick end"))
    middle = (up(ticks[0]) + up(ticks[-1])) / 2
    turned = '<text class="axis middle" transform="translate(11 {}) rotate(-90)">{}</text>'
    return [*parts, Markup(turned).format(_number(middle), label)]


def _below(
    ticks: Sequence[float], across, height: float, label: str, grid_from: float | None = None
) -> list[Markup]:
    """Tick labels and label of the x axis; with grid_from, vertical grid lines from there."""
    parts, last = [], -99.0
    for tick in ticks:
        x, shown = across(tick), f"{tick:g}"
        if grid_from is not None:
            parts.append(_line(x, grid_from, x, height - BOTTOM, "grid"))
        if x - last > LETTER * len(shown) + 4:  # no overlap
            parts.append(_text(x, height - BOTTOM + 14, shown, "tick middle"))
            last = x
    middle = (across(ticks[0]) + across(ticks[-1])) / 2
    return [*parts, _text(middle, height - 5, label, "axis middle")]


def _error_bar(x0: float, y0: float, x1: float, y1: float) -> list[Markup]:
    lines = [_line(x0, y0, x1, y1, "error-bar")]
    for x, y in ((x0, y0), (x1, y1)):
        ends = (x - 3, y, x + 3, y) if x0 == x1 else (x, y - 3, x, y + 3)
        lines.append(_line(*ends, "error-bar"))
    return lines


def drawing(width: float, height: float, parts: Sequence[Markup]) -> Markup:
    """An <svg> element of the parts, which the page scales to its column."""
    size = (_number(width), _number(height))
    shape = Markup(
        '<svg viewBox="0 0 {0} {1}" width="{0}" height="{1}" aria-hidden="true">{2}</svg>'
    )
    return shape.format(*size, Markup("").join(parts))


def _text(x: float, y: float, words: str, style: str) -> Markup:
    place = Markup('<text class="{}" x="{}" y="{}">{}</text>')
    return place.format(style, _number(x), _number(y), escape(words))


def _line(x0: float, y0: float, x1: float, y1: float, style: str) -> Markup:
    numbers = map(_number, (x0, y0, x1, y1))
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(style, *numbers)


def _ring(x: float, y: float, radius: float, style: str) -> Markup:
    place = Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>')
    return place.format(style, _number(x), _number(y), _number(radius))


def _point(x: float, y: float) -> str:
    return f"{_number(x)},{_number(y)}"


def _number(value: float) -> str:
    """`value` with one decimal, never -0."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")
