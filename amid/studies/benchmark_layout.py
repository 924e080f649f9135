"""How the benchmark is shown: its tables, its gains with intervals, its mean ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from amid.studies.base import BASELINE, TITLES, configuration_column
from amid.studies.plotting import GUIDE, REMARK, STYLES, escape_dollars, subplots
from amid.studies.rendering import (
    UNDEFINED,
    Column,
    Layout,
    Row,
    decimals,
    number,
    p_value,
    signed,
    text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Panel = Callable[[Axes, pd.DataFrame], None]

KEY = "table_benchmark"  # of the files
SHORT = {**TITLES, "amid": "AMID"}  # of configurations, in figures
SMALL = 9  # points: the size of names and remarks
# Of a diagram of ranks: between its bars, whose rows of names are 1 apart; beside its axis.
BAR, MARGIN = 0.45, 0.2


# ---------------------------------------------------------------------------------- layouts


def with_interval(row: Row, name: str, latex: bool) -> str:
    """A mean with its interval in brackets, from the column that has half its width: `interval` of
    the student's accuracy, interval_x of difference_x, whose mean has a sign."""
    if pd.isna(row[name]):
        return UNDEFINED
    mean, half = (number, "interval") if name == "student" else (signed, f"interval_{name[11:]}")
    if pd.isna(row[half]):
        return mean(row, name, latex)
    ends = (row[name] - row[half], row[name] + row[half])
    shown = ", ".join(map(decimals, ends))
    brackets = f"$[{shown}]$" if latex else f"[{shown}]".replace("-", "−")
    return f"{mean(row, name, latex)} {brackets}"


def thousands(row: Row, name: str, latex: bool) -> str:
    """A whole number with separators between the thousands."""
    return UNDEFINED if pd.isna(row[name]) else f"{int(row[name]):,}"


def _against(other: str, title: str) -> tuple[Column, ...]:
    return (
        Column(f"difference_{other}", f"gain over {title}", f"over {title}", with_interval),
        Column(f"effect_{other}", f"effect, {title}", None, signed),
        Column(f"p_{other}_holm", f"p, {title}", "$p$", p_value),
    )


LAYOUT = Layout(
    "Benchmark of all methods",
    (
        Column("protocol", "protocol", "protocol", text, left=True),
        configuration_column(BASELINE),
        Column("seeds", "seeds", "seeds", text),
        Column("student", "student", "student", with_interval),
        Column("student_std", "std", "std", number),
        *_against("alone", "student alone"),
        *_against("plain", "KD"),
        Column("rank", "mean rank", "rank", number),
        Column("critical", "critical difference", None, number),
        Column("trained", "parameters trained", None, thousands),
    ),
    "student: test Top-1 in per cent, mean over seeds; protocol "
    "paper: at the epoch where the student is best on validation; strong: the average of the "
    "weights at the last epoch. The test split takes no part in any choice. gain: the mean "
    "difference in points, seed by seed. In brackets: confidence intervals of these means. effect: "
    "the mean difference over its deviation. p: two-sided paired t tests over seeds with Holm's "
    "correction within a data set and protocol. mean rank: of the places among the configurations "
    "of one seed, 1 the best; two whose ranks differ by less than the critical difference are not "
    "told apart by Nemenyi's test, whose blocks are the seeds: what it says holds for this data "
    "set.",
    heading="{dataset}",
)

LAYOUT_ALL = Layout(
    "Benchmark: won, drawn, lost",
    (
        Column("protocol", "protocol", "protocol", text, left=True),
        configuration_column(BASELINE),
        Column("data_sets", "data sets", "data sets", text),
        Column("mean_rank", "mean rank", "mean rank", number),
        *(
            Column(f"{what}_{other}", f"{what} against {title}", f"{what}", text)
            for other, title in (("alone", "student alone"), ("plain", "KD"))
            for what in ("won", "drawn", "lost")
        ),
    ),
    "On how many data sets a configuration is ahead of another or behind it with p after Holm's "
    "correction below the level; the rest are drawn. mean rank: over the data sets, without a "
    "test: they are too few for one.",
    heading="All data sets together",
)


TRAINED = (
    "parameters trained: by a run and by the fixed teacher before it: encoder and classifier, "
    "the teacher's fusion network, and what the method has beside them (projections, proxies, "
    "discriminators); memory banks and the frozen encoders of the auxiliary modalities, which all "
    "rows share, are not among them. The columns trained_* and memory (numbers kept of each "
    "training clip) of the CSV file part them."
)


def note(table: pd.DataFrame) -> str:
    """The note below the table: what its numbers are, and what the student costs."""
    of = table.drop_duplicates("dataset").set_index("dataset")["parameters"].dropna()
    counts = ", ".join(f"{count:,} on {dataset}" for dataset, count in of.items())
    same = "Deployed, the student is the same network in every row of a data set"
    level = f"The level of intervals and tests is {table['level'].iloc[0]:g}."
    same += f", of as many parameters: {counts}" if counts else ""
    told = f"{LAYOUT.note} {level} {same}; so it costs the same at test."
    return f"{told} {TRAINED}" if table["trained"].notna().any() else told


# ---------------------------------------------------------------------------------- figures


def panels_of(table: pd.DataFrame) -> list[tuple[str, str]]:
    """(data set, protocol) of each panel of the figures, in the order of the table."""
    return list(dict.fromkeys(zip(table["dataset"], table["protocol"], strict=True)))


def panel_of(table: pd.DataFrame, dataset: str, protocol: str) -> pd.DataFrame:
    """The rows of one panel."""
    return table[(table["dataset"] == dataset) & (table["protocol"] == protocol)]


def gains(panel: pd.DataFrame) -> pd.DataFrame:
    """The rows of a panel that have a gain over the student alone, by falling gain."""
    shown = panel[panel["difference_alone"].notna()]
    return shown.sort_values("difference_alone", ascending=False, kind="stable")


def draw_gains(table: pd.DataFrame, *, titled: bool = True) -> Figure:
    """Forest plots: the gain over the student alone with its interval, the largest on top; plain KD
    in a look of its own. A row of panels a data set, a column a protocol."""
    return _panels(table, _draw_gains, (5.6, 0.9, 0.21), titled)


def draw_ranks(table: pd.DataFrame, *, titled: bool = True) -> Figure:
    """Critical-difference diagrams of the mean ranks (`critical_differences`), panels as in
    `draw_gains`."""
    return _panels(table, _draw_ranks, (9.0, 1.0, 0.18), titled)


def _panels(
    table: pd.DataFrame, draw: Panel, size: tuple[float, float, float], titled: bool
) -> Figure:
    """size: width of a panel in inches, its height without rows, and for each configuration."""
    places = panels_of(table)
    datasets, protocols = (list(dict.fromkeys(names)) for names in zip(*places, strict=True))
    rows = max(len(panel_of(table, *place)) for place in places)
    width, height, of_row = size
    whole = (width * len(protocols), (height + of_row * rows) * len(datasets))
    figure, axes = subplots(len(datasets), len(protocols), whole)
    for row, dataset in zip(axes, datasets, strict=True):
        for axis, protocol in zip(row, protocols, strict=True):
            if (dataset, protocol) in places:
                draw(axis, panel_of(table, dataset, protocol))
                if titled:
                    title = escape_dollars(panel_title(table, dataset, protocol))
                    axis.set_title(title, fontsize=10)
            else:
                axis.set_axis_off()
    return figure


def panel_title(table: pd.DataFrame, dataset: str, protocol: str) -> str:
    seeds = panel_of(table, dataset, protocol)["seeds"].iloc[0]
    return f"{dataset}, protocol {protocol}, {seeds} seed{'' if seeds == 1 else 's'}"


def _draw_gains(axis: Axes, panel: pd.DataFrame) -> None:
    shown = gains(panel)
    forest(
        axis, titles(shown), shown["difference_alone"].tolist(),
        [None if pd.isna(half) else half for half in shown["interval_alone"]],
        _plain(shown),
    )  # fmt: skip
    axis.set_xlabel("gain over the student alone (points)", fontsize=SMALL)


def _draw_ranks(axis: Axes, panel: pd.DataFrame) -> None:
    shown = panel.sort_values("rank", kind="stable")
    critical = shown["critical"].iloc[0]
    critical_differences(axis, titles(shown), shown["rank"].tolist(), critical, _plain(shown))


def _plain(rows: pd.DataFrame) -> int | None:
    """Which of the rows is plain KD, with which the others are compared."""
    return next((n for n, gain in enumerate(rows["difference_plain"]) if pd.isna(gain)), None)


def titles(table: pd.DataFrame) -> list[str]:
    """The configurations of some rows for readers, as labels of a figure."""
    names = [SHORT.get(name, name) for name in table["configuration"]]
    return [name.replace(", numbers from the search", ", searched") for name in names]


def forest(
    axis: Axes,
    names: Sequence[str],
    means: Sequence[float],
    halves: Sequence[float | None],
    marked: int | None = None,
) -> None:
    """A forest plot: a row a name, the mean with its interval, and a line at 0.

    names: from the top. halves: half the width of each interval, None where there is none.
    marked: the number of a row with a look of its own, and a broken line at its mean.
    """
    axis.axvline(0, color="#000000", linewidth=0.9)
    if marked is not None:
        axis.axvline(means[marked], color=STYLES[1][0], linestyle="--", linewidth=0.9)
    for row, (mean, half) in enumerate(zip(means, halves, strict=True)):
        color, _, marker = STYLES[1] if row == marked else STYLES[0]
        axis.errorbar(
            [mean], [row], xerr=None if half is None else [half], fmt=marker, color=color,
            markersize=4.5, capsize=2.5, linewidth=1.3,
        )  # fmt: skip
    axis.set_yticks(range(len(names)), list(map(escape_dollars, names)), fontsize=SMALL)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.tick_params(axis="x", labelsize=SMALL)
    axis.tick_params(axis="y", length=0)
    axis.grid(alpha=0.3, axis="x")
    axis.spines[["top", "right", "left"]].set_visible(False)


def joined(ranks: Sequence[float], critical: float) -> list[tuple[int, int]]:
    """The largest groups of names whose mean ranks differ by less than the critical difference:
    (first, last) each, numbers of `ranks`, which rise. A name alone is no group."""
    found: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(n for n, other in enumerate(ranks) if n == first or other - rank < critical)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def critical_differences(
    axis: Axes,
    names: Sequence[str],
    ranks: Sequence[float],
    critical: float,
    marked: int | None = None,
) -> None:
    """A critical-difference diagram: an axis of mean ranks, 1 the best and leftmost, a line from
    each rank to its name, and a bar over each group that is not told apart (`joined`).

    ranks: rising, as many as `names`. marked: the number of a name in another colour. Source:
    Demšar, "Statistical comparisons of classifiers over multiple data sets" (2006), Figure 1, whose
    best rank is on the right.
    """
    count = len(names)
    left = math.ceil(count / 2)
    bars = joined(ranks, critical)
    first_row = -(0.75 + BAR * len(bars))  # of the names, below the bars
    thin = {"color": "#000000", "linewidth": 0.8, "solid_capstyle": "butt"}
    axis.plot([1, count], [0, 0], **{**thin, "linewidth": 1.1})
    step = 1 if count <= 10 else 2 if count <= 20 else 5
    for rank in range(1, count + 1):
        named = (rank - 1) % step == 0 or rank == count
        axis.plot([rank, rank], [0, 0.3 if named else 0.18], **thin)
        if named and (rank == count or count - rank >= step):
            axis.text(rank, 0.42, f"{rank}", ha="center", va="bottom", fontsize=SMALL)
    for place, (name, rank) in enumerate(zip(names, ranks, strict=True)):
        on_left = place < left
        y = first_row - (place if on_left else count - 1 - place)
        edge = 1 - MARGIN if on_left else count + MARGIN
        look = {"color": STYLES[1][0]} if place == marked else {}
        axis.plot([rank, rank, edge], [0, y, y], **{**thin, **look})
        words = (escape_dollars(name), f"{rank:.1f}")
        axis.annotate(
            "  ".join(words if on_left else words[::-1]),
            (edge, y), (-3 if on_left else 3, 0), textcoords="offset points",
            ha="right" if on_left else "left", va="center", fontsize=SMALL, **look,
        )  # fmt: skip
    ends = 0.006 * count
    for place, (first, last) in enumerate(bars):
        y = -(0.5 + BAR * place)
        axis.plot(
            [ranks[first] - ends, ranks[last] + ends], [y, y],
            color=STYLES[0][0], linewidth=3.2, solid_capstyle="butt",
        )  # fmt: skip
    _scale(axis, critical, count)
    axis.set_xlim(1 - MARGIN, count + MARGIN)
    axis.set_ylim(first_row - (left - 1) - 0.6, 2.5)
    axis.set_axis_off()


def _scale(axis: Axes, critical: float, count: int) -> None:
    """A bar as long as the critical difference above the axis, as far as there is room."""
    width = min(critical, count - 1)
    axis.plot([1, 1 + width], [1.55, 1.55], color=GUIDE, linewidth=1.1)
    for x in (1, 1 + width):
        axis.plot([x, x], [1.4, 1.7], color=GUIDE, linewidth=1.1)
    wider = ", wider than the axis" if critical > width else ""
    words = f"critical difference {critical:.1f}{wider}"
    axis.text(1, 1.85, words, ha="left", va="bottom", fontsize=SMALL, color=REMARK)
