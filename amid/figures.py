"""Figures as PNG, readable in print and by colour-blind readers; bytes depend on the data alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from amid.results import TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by line style and by marker as well.
STYLES = (
    ("#0072B2", "-", "o"),
    ("#D55E00", "--", "D"),
    ("#009E73", "-.", "s"),
    ("#CC79A7", ":", "^"),
)


def figure3(classes: pd.DataFrame, path: Path) -> None:
    """Class-wise accuracy of two configurations, a panel a data set, one below the other.

    classes: as from series.class_wise; its order is the order of the classes. Paired bars: the
    first configuration's filled, the second's hatched, told apart without colour.
    """
    first, second = (name.removesuffix("_std") for name in classes if name.endswith("_std"))
    names = list(dict.fromkeys(classes["dataset"]))
    figure, axes = _panels(len(names), 1, (7.2, 0.3 + 2.9 * len(names)))
    for axis, name in zip(axes[:, 0], names, strict=True):
        panel = classes[classes["dataset"] == name].reset_index(drop=True)
        looks = ({"color": STYLES[0][0]}, {"fill": False, "hatch": "////", "linewidth": 0.6})
        for place, (configuration, look) in enumerate(zip((first, second), looks, strict=True)):
            axis.bar(
                panel.index + 0.42 * (place - 0.5), panel[configuration], 0.42,
                edgecolor=STYLES[place][0],
                label=TITLES.get(configuration, configuration), **look,
            )  # fmt: skip
        shown = [label.replace("$", r"\$") for label in panel["class"]]  # else it is a formula
        axis.set_xticks(panel.index, shown, rotation=90, fontsize=7)
        axis.set_xlim(-0.7, len(panel) - 0.3)
        axis.set_xlabel(f"class, by falling difference {_short(first)} − {_short(second)}")
        axis.set_ylabel("student, test Top-1 (%)")
        axis.set_title(name, loc="left")
        axis.grid(axis="y", alpha=0.3)
        axis.legend(
            frameon=False, fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1, 1),
            borderaxespad=0.2,
        )  # fmt: skip
    _save(figure, path)


def figure4(gaps: pd.DataFrame, warmup: dict[str, int], path: Path) -> None:
    """Gap teacher - student over epochs; gaps: as from series.gaps, warmup: see `_over_epochs`."""
    _over_epochs(gaps, warmup, "teacher − student, validation Top-1 (points)", path)


def figure5(similarities: pd.DataFrame, warmup: dict[str, int], path: Path) -> None:
    """Cosine of teacher and student within a class over epochs; as from series.similarities."""
    _over_epochs(similarities, warmup, "mean cosine within a class, validation", path)


def _over_epochs(table: pd.DataFrame, warmup: dict[str, int], label: str, path: Path) -> None:
    """A panel a data set, a line a configuration, bands of one deviation over seeds.

    table: as from series.over_epochs. warmup: data set -> epochs of the warm-up, marked by a line.
    """
    names = list(dict.fromkeys(table["dataset"]))
    figure, axes = _panels(1, len(names), (1.2 + 4.6 * len(names), 3.6))
    for axis, name in zip(axes[0], names, strict=True):
        panel = table[table["dataset"] == name]
        curves = panel.groupby("configuration", sort=False)
        for (configuration, curve), (colour, line, _) in zip(curves, STYLES, strict=False):
            title = TITLES.get(configuration, configuration)
            axis.plot(curve["epoch"], curve["value"], line, color=colour, label=title)
            _band(axis, curve["epoch"], curve["value"], curve["std"], colour)
        if name in warmup:
            axis.axvline(warmup[name] + 0.5, color="0.5", linewidth=0.8)
            axis.annotate(
                "warm-up ends", (warmup[name] + 0.8, 0.97), xycoords=("data", "axes fraction"),
                va="top", fontsize=8, color="0.35",
            )  # fmt: skip
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        axis.set_title(name)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=9)
    _save(figure, path)


def figure6(table: pd.DataFrame, path: Path) -> None:
    """Accuracy against each weight, error bars of one deviation over seeds, the default ringed.

    A row of panels a data set, a panel a weight, all of a row on one scale; doublings are drawn at
    equal distances. table: as from results.table6.
    """
    names = list(dict.fromkeys(table["dataset"]))
    weights = list(dict.fromkeys(table["weight"]))
    size = (1.2 + 2.9 * len(weights), 0.5 + 2.9 * len(names))
    figure, axes = _panels(len(names), len(weights), size, sharey="row")
    for row, name in zip(axes, names, strict=True):
        for axis, weight in zip(row, weights, strict=True):
            panel = table[(table["dataset"] == name) & (table["weight"] == weight)]
            for head, (colour, line, marker) in zip(("student", "teacher"), STYLES, strict=False):
                if panel[head].notna().any():
                    std = panel[f"{head}_std"].astype(float).fillna(0)
                    axis.errorbar(
                        panel["value"], panel[head], std, linestyle=line, marker=marker,
                        markersize=4, capsize=2, linewidth=1.2, color=colour, label=head,
                    )  # fmt: skip
            default = panel[panel["default"]]
            axis.plot(
                default["value"], default["student"], "o", markersize=11, fillstyle="none",
                color="black", label="default", linestyle="none",
            )  # fmt: skip
            if panel["value"].max() > 4 * max(panel["value"].median(), 0.25):  # doublings
                axis.set_xscale("symlog", base=2, linthresh=0.25)
                axis.set_xticks(panel["value"], [f"{value:g}" for value in panel["value"]])
                axis.tick_params(axis="x", labelsize=6, rotation=90)
            axis.set_xlabel({"alpha": "α", "beta": "β", "gamma": "γ"}[weight])
            axis.set_title(name, fontsize=10)
            axis.grid(alpha=0.3)
        row[0].set_ylabel("test Top-1 (%)")
        row[0].legend(frameon=False, fontsize=8)
    _save(figure, path)


def selection(table: pd.DataFrame, path: Path) -> None:
    """Accuracy against the ratio that selection keeps, a line a rule, bands of one deviation.

    A row of panels a data set, a panel a share of mismatched pairs; the lines meet in the run on
    all samples. table: as from studies.selection.
    """
    names = list(dict.fromkeys(table["dataset"]))
    shares = list(dict.fromkeys(table["mismatched"]))
    rules = [rule for rule in dict.fromkeys(table["rule"]) if rule != "all"]
    size = (1.2 + 2.9 * len(shares), 0.5 + 2.9 * len(names))
    figure, axes = _panels(len(names), len(shares), size, sharey="row")
    for row, name in zip(axes, names, strict=True):
        for axis, mismatched in zip(row, shares, strict=True):
            here = (table["dataset"] == name) & (table["mismatched"] == mismatched)
            for rule, (colour, line, marker) in zip(rules, STYLES, strict=False):
                curve = table[here & table["rule"].isin([rule, "all"])].sort_values("ratio")
                axis.plot(
                    curve["ratio"], curve["student"], line, marker=marker, markersize=4,
                    color=colour, label=rule,
                )  # fmt: skip
                std = curve["student_std"].astype(float).fillna(0)
                _band(axis, curve["ratio"], curve["student"], std, colour)
            axis.set_xlabel("share of each batch trained on")
            axis.set_xticks(sorted(set(table["ratio"])))
            axis.set_title(f"{name}, {100 * mismatched:g} % mismatched pairs", fontsize=10)
            axis.grid(alpha=0.3)
        row[0].set_ylabel("student, test Top-1 (%)")
        row[0].legend(frameon=False, fontsize=9)
    _save(figure, path)


def _short(configuration: str) -> str:
    return TITLES.get(configuration, configuration).split(" (")[0]


def _panels(rows: int, columns: int, size: tuple[float, float], **kwargs: Any) -> tuple:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **kwargs)


def _band(axis: Axes, x: pd.Series, mean: pd.Series, std: pd.Series, colour: str) -> None:
    axis.fill_between(x, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)


def _save(figure: Figure, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure.savefig(path, dpi=160, metadata={"Software": None})
    plt.close(figure)
