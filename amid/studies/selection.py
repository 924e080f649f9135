"""Sample selection: accuracy and cost by the share of each batch that is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from amid.config import Model, Name, Params
from amid.core.types import RunRecord
from amid.errors import AmidError, ConfigError
from amid.runs.plan import Fingerprint, PlannedRun, configured_run
from amid.studies import rendering
from amid.studies.base import (
    SELECTED,
    Records,
    Study,
    check_configurations,
    read_records,
    spreads,
)
from amid.studies.plotting import STYLES, draw_band, save_png, subplots
from amid.studies.rendering import Column, Layout, share, text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Block(Model):
    """Sample selection: rules x ratios x shares of mismatched pairs, on one configuration."""

    configuration: Name
    rules: dict[Name, dict[str, Any]]
    ratios: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]
    mismatch_ratios: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=1)]


def plan(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """The table of sample selection: one configuration under every rule, ratio and share."""
    table = params.table_selection
    runs = []
    for rule, ratio, mismatched in grid(params):
        chosen = {"name": "all"} if rule == "all" else {**table.rules[rule], "ratio": ratio}
        name = folder_name(rule, ratio, mismatched)
        runs += [
            configured_run(
                params,
                dataset,
                table.configuration,
                seed,
                fingerprint,
                folder=f"{name}/seed{seed}",
                overrides={"selection": chosen, "mismatch_ratio": mismatched},
                unbroken=True,
            )
            for seed in params.seeds
        ]
    return runs


def grid(params: Params) -> list[tuple[str, float, float]]:
    """(rule, ratio, share of mismatched pairs) of every row of the table; rule "all" at 1.0."""
    table = params.table_selection
    return [
        (rule, ratio, mismatched)
        for mismatched in table.mismatch_ratios
        for ratio in table.ratios
        for rule in (["all"] if ratio == 1 else table.rules)
    ]


def folder_name(rule: str, ratio: float, mismatched: float) -> str:
    """Folder of the runs of one rule of sample selection, with both shares in per cent."""
    return f"{rule}_r{100 * ratio:g}_m{100 * mismatched:g}"


def load(params: Params, runs: Path) -> Records:
    """Row: (rule, kept ratio, share of mismatched pairs). Records in the order of the seeds."""
    return {
        dataset: {
            row: read_records(runs / "selection" / dataset / folder_name(*row), params.seeds)
            for row in grid(params)
        }
        for dataset in params.datasets
    }


def selection(records: Records) -> pd.DataFrame:
    """Sample selection, one row a data set, share of mismatched pairs, ratio and rule.

    student: test Top-1. steps, samples, scored, compute: shares (0..1) of what the run on all
    samples has: optimiser steps; samples that went forward and backward; samples that only went
    forward, to be chosen among, as a share of its samples; and 3 samples + scored, a backward pass
    counted as two forward passes.
    """
    rows = []
    for dataset, places in records.items():
        for (rule, ratio, mismatched), runs in places.items():
            if ("all", 1.0, mismatched) not in places:
                raise AmidError(
                    "params.yaml: 'table_selection.ratios' lacks 1.0, the run on all samples that "
                    "the others are compared with."
                )
            whole, own = _steps(places["all", 1.0, mismatched]), _steps(runs)
            row = {"dataset": dataset, "mismatched": mismatched, "ratio": ratio, "rule": rule}
            row["seeds"] = len(runs)
            row |= spreads(runs, "student", lambda run, at: run.accuracy("student", at))
            row["steps"] = own["steps"] / whole["steps"]
            row["samples"] = own["samples"] / whole["samples"]
            row["scored"] = own["scored"] / whole["samples"]
            row["compute"] = (3 * own["samples"] + own["scored"]) / (3 * whole["samples"])
            rows.append(row)
    return pd.DataFrame(rows)


def _steps(runs: Sequence[RunRecord]) -> dict[str, float]:
    names = ("steps", "samples", "scored")
    return {name: float(np.mean([run.steps[name] for run in runs])) for name in names}


def draw_selection(table: pd.DataFrame) -> Figure:
    """Accuracy against the ratio of samples kept, bands of one standard deviation over seeds.

    One row of panels per data set, one panel per ratio of mismatched pairs, one line per rule; the
    lines meet in the run on all samples. table: as from selection.selection.
    """
    names = list(dict.fromkeys(table["dataset"]))
    shares = list(dict.fromkeys(table["mismatched"]))
    rules = [rule for rule in dict.fromkeys(table["rule"]) if rule != "all"]
    size = (1.2 + 2.9 * len(shares), 0.5 + 2.9 * len(names))
    figure, axes = subplots(len(names), len(shares), size, sharey="row")
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
                draw_band(axis, curve["ratio"], curve["student"], std, colour)
            axis.set_xlabel("share of each batch trained on")
            axis.set_xticks(sorted(set(table["ratio"])))
            axis.set_title(f"{name}, {100 * mismatched:g} % mismatched pairs", fontsize=10)
            axis.grid(alpha=0.3)
        row[0].set_ylabel("student, test Top-1 (%)")
        row[0].legend(frameon=False, fontsize=9)
    return figure


LAYOUT = Layout(
    "Sample selection: accuracy and cost by the share of each batch that is trained on",
    (
        Column("mismatched", "mismatched", "mismatched", share),
        Column("ratio", "ratio", "ratio", share),
        Column("rule", "rule", "rule", text, left=True),
        Column("student", "student", "student"),
        Column("student_last", "student, last epoch"),
        Column("steps", "steps", "steps", share),
        Column("samples", "samples with gradient", "with gradient", share),
        Column("scored", "samples scored", "scored", share),
        Column("compute", "compute", "compute", share),
    ),
    f"student: test Top-1 in per cent, mean ± sample standard deviation over seeds, {SELECTED}. "
    "mismatched: share of the training clips whose other modalities are another clip's. ratio: "
    "share of each batch that is trained on. The other columns are shares of what the run on all "
    "samples (ratio 1.0) needs: optimiser steps; samples that went forward and backward; samples "
    "that only went forward, to be chosen among (as a share of its samples); and compute, forward "
    "and backward together, where a backward pass is counted as twice a forward pass. That is an "
    "estimate: no time stands here because a table must not depend on the clock; measured times "
    "are in docs/performance.md.",
)


def _check(params: Params) -> None:
    block = params.table_selection
    check_configurations(params, "table_selection.configuration", [block.configuration])
    if 1.0 not in block.ratios:
        raise ConfigError(
            "params.yaml: 'table_selection.ratios' lacks 1.0, the run that the others are compared "
            "with: add it."
        )
    for rule in block.rules.values():
        params.resolved(block.configuration, {"selection": rule})


def _write(params: Params, runs: Path, reports: Path) -> list[Path]:
    table = selection(load(params, runs))
    files = rendering.write(table, LAYOUT, reports, "table_selection")
    save_png(draw_selection(table), reports / "table_selection.png")
    return [*files, reports / "table_selection.png"]


TABLE_SELECTION = Study(
    block=Block, write=_write, check=_check, trains="selection", plan=plan, on_request=True
)
