"""Figures as PNG, readable in print and by colour-blind readers; bytes depend on the data alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from amid.results import TITLES

# Okabe and Ito's colours, told apart by line style as well.
STYLES = (("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."), ("#CC79A7", ":"))


def figure4(gaps: pd.DataFrame, warmup: dict[str, int], path: Path) -> None:
    """Gap teacher - student over epochs, a panel a data set, bands of one deviation over seeds.

    gaps: as from results.gaps. warmup: data set -> epochs of the warm-up, marked by a line.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(gaps["dataset"]))
    figure, axes = plt.subplots(
        1, len(names), figsize=(1.2 + 4.6 * len(names), 3.6), squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes[0], names, strict=True):
        panel = gaps[gaps["dataset"] == name]
        curves = panel.groupby("configuration", sort=False)
        for (configuration, curve), (colour, line) in zip(curves, STYLES, strict=False):
            title = TITLES.get(configuration, configuration)
            axis.plot(curve["epoch"], curve["gap"], line, color=colour, label=title)
            low, high = curve["gap"] - curve["std"], curve["gap"] + curve["std"]
            axis.fill_between(curve["epoch"], low, high, color=colour, alpha=0.15, linewidth=0)
        if name in warmup:
            axis.axvline(warmup[name] + 0.5, color="0.5", linewidth=0.8)
            axis.annotate(
                "warm-up ends", (warmup[name] + 0.8, 0.97), xycoords=("data", "axes fraction"),
                va="top", fontsize=8, color="0.35",
            )  # fmt: skip
        axis.set_xlabel("epoch")
        axis.set_ylabel("teacher − student, test Top-1 (points)")
        axis.set_title(name)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=160, metadata={"Software": None})
    plt.close(figure)
