"""Table 6 and Figure 6: sensitivity to the weights of Eq. 17, one weight at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amid.config import Model, Name, NonNegative, Params, check
from amid.io.atomic import replace_dir
from amid.runs.plan import Fingerprint, PlannedRun, configured_run, warmup_runs
from amid.studies import paper_numbers, rendering
from amid.studies.base import (
    SELECTED,
    Records,
    Study,
    check_configurations,
    check_distinct,
    read_records,
    spreads,
    student_accuracies,
    with_holm,
)
from amid.studies.plotting import STYLES, save_png, subplots
from amid.studies.rendering import Column, Layout, mark, number, p_value, text
from amid.studies.statistics import pooled_std, variance_test

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Values = list[NonNegative]
WEIGHTS = ("alpha", "beta", "gamma")  # of Eq. 17, which the table is about


class Block(Model):
    """Sensitivity: the values that each weight takes while the other two keep theirs."""

    configuration: Name
    alpha: Values
    beta: Values
    gamma: Values
    wide: Values


class Weights(Model):
    """The weights of a configuration."""

    alpha: NonNegative
    beta: NonNegative
    gamma: NonNegative


def plan(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """Table 6: one configuration with one weight changed. It goes on from the warm-up that the
    stage `warmup` has, where it is its own (gamma has no part in one), else it is unbroken."""
    shared = {run.spec.key for run in warmup_runs(params, dataset, fingerprint)}
    runs = [
        configured_run(
            params,
            dataset,
            params.table6.configuration,
            seed,
            fingerprint,
            folder=f"{folder_name(weight, value)}/seed{seed}",
            overrides={weight: value},
        )
        for weight, value in grid(params)
        for seed in params.seeds
    ]
    return [
        run if run.parent and run.parent.key in shared else replace(run, parent=None)
        for run in runs
    ]


def grid(params: Params) -> list[tuple[str, float]]:
    """(weight, value) of every row of Table 6, the wide values among them, ascending."""
    table = params.table6
    return [
        (weight, value)
        for weight in WEIGHTS
        for value in sorted({float(v) for v in (*getattr(table, weight), *table.wide)})
    ]


def folder_name(weight: str, value: float) -> str:
    """Folder of the runs with one weight at one value."""
    return f"{weight}_{value:g}"


def load(params: Params, runs: Path) -> Records:
    """Row: (weight, value). Records in the order of the seeds."""
    return {
        dataset: {
            row: read_records(runs / "sensitivity" / dataset / folder_name(*row), params.seeds)
            for row in grid(params)
        }
        for dataset in params.datasets
    }


def table6(records: Records, defaults: dict[str, float]) -> pd.DataFrame:
    """Sensitivity, one row a data set, weight and value: test Top-1 of student and teacher.

    defaults: weight -> its value in params.yaml; default: whether a row has it.
    """
    rows = []
    for dataset, places in records.items():
        for (weight, value), runs in places.items():
            row = {"dataset": dataset, "weight": weight, "value": value, "seeds": len(runs)}
            row["default"] = value == defaults[weight]
            for head in ("student", "teacher"):
                row |= spreads(runs, head, lambda run, at, head=head: run.accuracy(head, at))
            rows.append({**row, "paper_student": paper_numbers.TABLE6.get((weight, value))})
    return pd.DataFrame(rows)


def noise(records: Records, params: Params) -> pd.DataFrame:
    """Is a weight's range wider than noise? One row a data set, weight and list of values.

    values: "paper" for the weight's own list, "wide" for the wide one. spread: highest less lowest
    mean of the student's test Top-1, in points. std: over seeds, pooled over the values. p: F test
    of the means with the seeds as blocks, corrected over the weights of a list.
    """
    rows = []
    for dataset, places in records.items():
        for kind in ("paper", "wide"):
            for weight in WEIGHTS:
                listed = params.table6.wide if kind == "wide" else getattr(params.table6, weight)
                values = sorted(float(value) for value in listed)
                if not values:
                    continue
                accuracies = student_accuracies([places[weight, value] for value in values])
                pooled = pooled_std(accuracies)
                means = accuracies.mean(1)
                row = {"dataset": dataset, "values": kind, "weight": weight}
                row |= {"lowest": values[0], "highest": values[-1], "count": len(values)}
                row |= {"seeds": accuracies.shape[1], "spread": float(np.ptp(means))}
                row["best"] = values[int(means.argmax())]
                row["std"] = None if pooled is None else pooled.std
                rows.append({**row, "p": variance_test(accuracies)})
    columns = ["dataset", "values", "weight", "lowest", "highest", "count", "seeds", "spread"]
    table = pd.DataFrame(rows, columns=[*columns, "best", "std", "p"])
    return with_holm(table, ["dataset", "values"], "p")


def defaults(params: Params) -> dict[str, float]:
    """Weight -> its value in the configuration that the table varies."""
    configuration = params.configurations[params.table6.configuration]
    given = {name: getattr(params, name) for name in WEIGHTS if hasattr(params, name)}
    given |= params.methods.get(configuration.get("method"), {}) | configuration
    chosen = {name: value for name, value in given.items() if name in WEIGHTS}
    return check(Weights, chosen, "").model_dump()


def draw_sensitivity(table: pd.DataFrame) -> Figure:
    """Figure 6: accuracy against each weight, error bars of one standard deviation over seeds.

    One row of panels per data set and one panel per weight, all of a row on one scale. The default
    is circled; values that double are drawn at equal distances. table: as from sensitivity.table6.
    """
    names = list(dict.fromkeys(table["dataset"]))
    weights = list(dict.fromkeys(table["weight"]))
    size = (1.2 + 2.9 * len(weights), 0.5 + 2.9 * len(names))
    figure, axes = subplots(len(names), len(weights), size, sharey="row")
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
    return figure


LAYOUT = Layout(
    "Table 6: sensitivity to the weights of Eq. 17",
    (
        Column("weight", "weight", "weight", text, left=True),
        Column("value", "value", "value", text),
        Column("student", "student", "student"),
        Column("teacher", "teacher", "teacher"),
        Column("student_last", "student, last epoch"),
        Column("default", "default", None, mark),
        Column("paper_student", "paper: student", "paper, UCF51", number, of=paper_numbers.UCF51),
    ),
    f"Test Top-1 in per cent, mean ± sample standard deviation over seeds, {SELECTED}; the other "
    "two weights at their defaults.",
    note_of="The paper's column is its Top-1 on UCF51, with other networks.",
)


LAYOUT_NOISE = Layout(
    "Is the range of the weights wider than the noise of the seeds?",
    (
        Column("values", "values", None, text, left=True),
        Column("weight", "weight", None, text, left=True),
        Column("lowest", "from", None, text),
        Column("highest", "to", None, text),
        Column("count", "values tried", None, text),
        Column("spread", "range of means", None, number),
        Column("best", "best value", None, text),
        Column("std", "std over seeds", None, number),
        Column("p_holm", "p", None, p_value),
    ),
    "In points of the student's test Top-1. values: paper, the paper's range; wide, the list "
    "`table6.wide` of params.yaml. range of means: highest less lowest mean over seeds of the "
    "values tried. std over seeds: pooled over the values. p: F test that the means of all values "
    "are equal (seeds as blocks), with Holm's correction over the weights of a list: above .05 the "
    "range is no wider than noise would make it.",
)


def _check(params: Params) -> None:
    block = params.table6
    check_configurations(params, "table6.configuration", [block.configuration])
    for name in (*WEIGHTS, "wide"):
        check_distinct(f"table6.{name}", getattr(block, name))
    for weight in WEIGHTS:
        params.resolved(block.configuration, {weight: 1.0})


def _write(params: Params, runs: Path, reports: Path) -> list[Path]:
    records = load(params, runs)
    table, of_noise = table6(records, defaults(params)), noise(records, params)
    files = rendering.write(table, LAYOUT, reports, "table6")
    pages = ((table, LAYOUT), (of_noise, LAYOUT_NOISE))
    page = "\n".join(rendering.markdown(frame, layout) for frame, layout in pages)
    rendering.write_text(reports / "table6.md", page)
    path = reports / "table6_noise.csv"
    files.append(rendering.write_text(path, rendering.to_csv(of_noise)))
    with replace_dir(reports / "figure6") as folder:  # as `dvc plots` likes
        for dataset in params.datasets:
            rows = rendering.to_csv(table[table["dataset"] == dataset])
            rendering.write_text(folder / f"{dataset}.csv", rows)
    save_png(draw_sensitivity(table), reports / "figure6.png")
    return [*files, reports / "figure6.png"]


TABLE6 = Study(block=Block, write=_write, check=_check, trains="sensitivity", plan=plan)
