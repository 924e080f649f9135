"""The figure of docs/when-it-helps.md: PYTHONPATH=. python docs/images/few_labels.py

Reads docs/images/few_labels.csv, the rows of benchmarks.few_labels, and writes few_labels.png:
test Top-1 of the student over the labels of each class, one line a configuration.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd

mpl.use("Agg")
from matplotlib import pyplot as plt

from amid.studies.base import TITLES

TABLE = Path(__file__).with_name("few_labels.csv")
BESIDE = {1: ("-", "the other clips beside, without a label"), 0: (":", "the labelled clips alone")}


def main() -> None:
    rows = pd.read_csv(TABLE)
    names = list(dict.fromkeys(rows["configuration"]))
    colours = dict(zip(names, plt.get_cmap("tab10").colors, strict=False))
    sets = list(dict.fromkeys(rows["dataset"]))
    figure, axes = plt.subplots(
        1, len(sets), figsize=(max(7.0, 4.5 * len(sets)), 4.2), squeeze=False, layout="constrained"
    )
    for axis, dataset in zip(axes[0], sets, strict=True):
        here = rows[rows["dataset"] == dataset]
        for (others, name), line in here.groupby(["others", "configuration"], sort=False):
            over = line.groupby("labels")["top1"].agg(["mean", "std"])
            style, _ = BESIDE[others]
            axis.errorbar(
                over.index, over["mean"], over["std"], color=colours[name], linestyle=style,
                marker="o", markersize=3, capsize=2, linewidth=1.4,
            )  # fmt: skip
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted(here["labels"].unique()))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        axis.set_xlabel("labelled training clips of each class")
        axis.set_title(dataset, loc="left", fontsize=10)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("test Top-1 of the student, %")
    for name in names:
        axes[0, 0].plot([], [], color=colours[name], label=TITLES.get(name, name))
    for style, words in BESIDE.values():
        axes[0, 0].plot([], [], color="0.4", linestyle=style, label=words)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    figure.savefig(TABLE.with_suffix(".png"), dpi=150, metadata={"Software": None})


if __name__ == "__main__":
    main()
