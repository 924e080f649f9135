"""The figures of docs/when-it-helps.md under the protocol `strong`:
PYTHONPATH=. python docs/images/when_it_helps.py

Reads the runs that benchmarks.few_labels wrote to docs/images/when_it_helps/: default.csv, and a
file for each thing that was changed. Writes a .png beside them for each function of `main`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FOLDER = Path(__file__).with_suffix("")
SETS = {
    "avlips": "avlips, lips from sound",
    "grid": "GRID, lips from sound",
    "utd_mhad": "UTD-MHAD, skeleton from inertial",
    "utd_inertial": "UTD-MHAD, inertial from skeleton",
}
ROWS = {
    "student_alone": "student alone",
    "kd": "KD, fixed teacher",
    "kd_joint": "KD, joint teacher",
    "l_ft": "$L_{FT}$, joint teacher",
    "amid_fixed": "AMID, fixed teacher",
    "amid_joint": "AMID, joint teacher",
}
MAIN = ("student_alone", "kd", "l_ft", "amid_fixed")
COLOURS = dict(zip(ROWS, ("0.35", "C0", "C9", "C1", "C3", "C6"), strict=True))
CAPACITIES = {"small": "1/4", "default": "1", "large": "2"}


def load(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / f"{name}.csv")


def spread(runs: pd.DataFrame, *by: str) -> pd.DataFrame:
    return runs.groupby([*by])["top1"].agg(["mean", "std"])


def panels(height: float = 3.6) -> tuple[Figure, Sequence[Axes]]:
    figure, axes = plt.subplots(1, len(SETS), figsize=(13, height), layout="constrained")
    for axis, title in zip(axes, SETS.values(), strict=True):
        axis.set_title(title, loc="left", fontsize=10)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("test Top-1 of the student, %")
    return figure, axes


def save(figure: Figure, name: str) -> None:
    figure.savefig(FOLDER / f"{name}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def two_sides(name: str, sides: dict[str, pd.DataFrame]) -> None:
    """The main rows of each data set, twice."""
    figure, axes = panels()
    for axis, dataset in zip(axes, SETS, strict=True):
        for shift, (side, runs) in zip((-0.12, 0.12), sides.items(), strict=True):
            over = spread(runs[runs["dataset"] == dataset], "configuration").loc[list(MAIN)]
            axis.errorbar(
                [n + shift for n in range(len(MAIN))], over["mean"], over["std"], fmt="o",
                color="C0" if shift < 0 else "C1", capsize=3, markersize=5, label=side,
            )  # fmt: skip
        axis.set_xticks(range(len(MAIN)), ["alone", "KD", "$L_{FT}$", "AMID"])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    save(figure, name)


def augmentation() -> None:
    sides = {"with augmentation": load("default"), "without": load("no_augmentation")}
    two_sides("augmentation", sides)


def unlabelled() -> None:
    beside = {"the other clips beside, without a label": load("default")}
    two_sides("unlabelled", beside | {"the labelled clips alone": load("labelled_alone")})


def capacity() -> None:
    runs = {name: load(name) for name in CAPACITIES}
    figure, axes = panels()
    for axis, dataset in zip(axes, SETS, strict=True):
        for row in MAIN:
            over = [
                spread(of[of["dataset"] == dataset], "configuration").loc[row]
                for of in runs.values()
                if dataset in set(of["dataset"])
            ]
            axis.errorbar(
                range(len(over)), [one["mean"] for one in over], [one["std"] for one in over],
                marker="o", markersize=4, capsize=3, color=COLOURS[row], label=ROWS[row],
            )  # fmt: skip
        axis.set_xticks(range(len(runs)), CAPACITIES.values())
        axis.set_xlabel("width of the target's encoder")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(MAIN), frameon=False)
    save(figure, "capacity")


def settings() -> pd.DataFrame:
    """Means over the seeds: a row a data set, number of labels and change; columns are rows."""
    names = ("default", "labels", "no_augmentation", "small", "large")
    runs = pd.concat([load(name).assign(change=name) for name in names])
    over = runs.groupby(["dataset", "labels", "change", "configuration"])["top1"].mean()
    return over.unstack("configuration").reset_index()


def headroom() -> None:
    table = settings()
    room = table["teacher_alone"] - table["student_alone"]
    figure, axis = plt.subplots(figsize=(7, 5.2), layout="constrained")
    markers = dict(zip(SETS, "os^D", strict=True))
    for row in ("kd", "l_ft", "amid_fixed"):
        for dataset, marker in markers.items():
            here = table["dataset"] == dataset
            gain = table[row] - table["student_alone"]
            axis.scatter(room[here], gain[here], marker=marker, color=COLOURS[row], alpha=0.8, s=34)
    ends = [min(0.0, room.min()), room.max()]
    axis.plot(ends, ends, color="0.6", linewidth=1, linestyle="--", zorder=0)
    axis.axhline(0, color="0.6", linewidth=1, zorder=0)
    axis.annotate(
        "as good as its teacher", (ends[1], ends[1]), (-8, -4), textcoords="offset points",
        ha="right", va="top", fontsize=8, color="0.4",
    )  # fmt: skip
    axis.set_xlabel("headroom: teacher minus student alone, points of test Top-1")
    axis.set_ylabel("gain of the student, points")
    axis.grid(alpha=0.3)
    for row in ("kd", "l_ft", "amid_fixed"):
        axis.scatter([], [], color=COLOURS[row], label=ROWS[row])
    for dataset, marker in markers.items():
        axis.scatter([], [], marker=marker, color="0.4", label=SETS[dataset])
    axis.legend(fontsize=8, frameon=False)
    save(figure, "headroom")


def teacher() -> None:
    rows = ("student_alone", "kd", "kd_joint", "amid_fixed", "amid_joint")
    runs = load("default")
    figure, axes = panels()
    for axis, dataset in zip(axes, SETS, strict=True):
        over = spread(runs[runs["dataset"] == dataset], "configuration").loc[list(rows)]
        for n, row in enumerate(rows):
            one = over.loc[row]
            axis.errorbar(n, one["mean"], one["std"], fmt="o", capsize=3, color=COLOURS[row])
        words = ("alone", "KD\nfixed", "KD\njoint", "AMID\nfixed", "AMID\njoint")
        axis.set_xticks(range(len(rows)), words, fontsize=8)
    save(figure, "teacher")


def labels() -> None:
    runs = pd.concat([load("default"), load("labels")])
    figure, axes = panels()
    for axis, dataset in zip(axes, SETS, strict=True):
        here = spread(runs[runs["dataset"] == dataset], "configuration", "labels")
        for row in MAIN:
            over = here.loc[row]
            axis.errorbar(
                over.index, over["mean"], over["std"], marker="o", markersize=4, capsize=3,
                color=COLOURS[row], label=ROWS[row],
            )  # fmt: skip
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted(runs.loc[runs["dataset"] == dataset, "labels"].unique()))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        axis.set_xlabel("labelled training clips of each class")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(MAIN), frameon=False)
    save(figure, "labels")


def main() -> None:
    for draw in (unlabelled, augmentation, capacity, headroom, teacher, labels):
        draw()


if __name__ == "__main__":
    main()
