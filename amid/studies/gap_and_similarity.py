"""Curves over epochs: Figure 4 (gap of teacher and student) and Figure 5 (their similarity)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from amid.config import Name, Params
from amid.errors import AmidError
from amid.io.atomic import replace_dir
from amid.studies import rendering
from amid.studies.base import (
    TITLES,
    Records,
    Study,
    check_rows,
    load_records,
)
from amid.studies.plotting import GUIDE, REMARK, STYLES, draw_band, save_png, subplots
from amid.studies.sections import OF_AMID, OF_PARTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READS = {"figure4": OF_PARTS, "figure5": OF_AMID}
Lines = Annotated[list[Name], Field(min_length=1, max_length=4)]


def gaps(records: Records) -> pd.DataFrame:
    """Figure 4's data: Top-1 of the teacher minus the student's, in points; as `over_epochs`."""
    return over_epochs(
        records,
        lambda now: 100 * (now["validation_teacher"] - now["validation_student"]),
        "figure4",
    )


def similarities(records: Records) -> pd.DataFrame:
    """Figure 5's data: mean cosine of teacher and student within a class; as `over_epochs`."""
    return over_epochs(records, lambda now: now["validation_within_class_similarity"], "figure5")


def over_epochs(
    records: Records, value: Callable[[dict[str, float]], float], figure: str
) -> pd.DataFrame:
    """A number of every epoch's metrics on the validation split, for runs with both networks.

    The test split is looked at after the training only. Columns dataset, configuration, epoch
    (from 1), value (mean over seeds), std (sample deviation). figure: its key in params.yaml.
    """
    rows = []
    for dataset, configurations in records.items():
        for configuration, runs in configurations.items():
            if "validation_teacher" not in runs[0].history[-1] or runs[0].selected_on != "student":
                raise AmidError(
                    f"params.yaml: '{figure}' names '{configuration}', which does not train both a "
                    "teacher and a student, with clips to validate on: there is no curve to draw."
                )
            curves = np.array([[value(now) for now in run.history] for run in runs])
            spread = curves.std(0, ddof=1) if len(runs) > 1 else np.zeros(curves.shape[1])
            for epoch, (mean, std) in enumerate(zip(curves.mean(0), spread, strict=True), 1):
                rows.append((dataset, configuration, epoch, mean, std))
    return pd.DataFrame(rows, columns=["dataset", "configuration", "epoch", "value", "std"])


def warmup_epochs(records: Records) -> dict[str, int]:
    """Data set -> epochs of the warm-up, for those with a run that has an adversarial phase."""
    found: dict[str, int] = {}
    for dataset, configurations in records.items():
        for runs in configurations.values():
            if "warmup_epochs" in runs[0].spec.options:
                found[dataset] = runs[0].spec.options["warmup_epochs"]
    return found


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """Curves of one data set, a row an epoch: epoch, <configuration>, <configuration>_std ..."""
    curves = {}
    for configuration, curve in table.groupby("configuration", sort=False):
        curves[configuration] = curve.set_index("epoch")["value"]
        curves[f"{configuration}_std"] = curve.set_index("epoch")["std"]
    return pd.DataFrame(curves).reset_index()


def draw_gaps(gaps: pd.DataFrame, warmup: dict[str, int]) -> Figure:
    """Figure 4: accuracy of the teacher minus the student's over epochs.

    gaps: as from curves.gaps. warmup: data set -> epochs of the warm-up, whose end is marked.
    """
    return _draw_over_epochs(gaps, warmup, "teacher − student, validation Top-1 (points)")


def draw_similarities(similarities: pd.DataFrame, warmup: dict[str, int]) -> Figure:
    """Figure 5: mean cosine of teacher and student within a class over epochs.

    similarities: as from curves.similarities. warmup: as for `draw_gaps`.
    """
    return _draw_over_epochs(similarities, warmup, "mean cosine within a class, validation")


def _draw_over_epochs(table: pd.DataFrame, warmup: dict[str, int], label: str) -> Figure:
    """One panel per data set, one line per configuration, bands of one standard deviation.

    table: as from curves.over_epochs.
    """
    names = list(dict.fromkeys(table["dataset"]))
    figure, axes = subplots(1, len(names), (1.2 + 4.6 * len(names), 3.6))
    for axis, name in zip(axes[0], names, strict=True):
        panel = table[table["dataset"] == name]
        curves = panel.groupby("configuration", sort=False)
        for (configuration, curve), (colour, line, _) in zip(curves, STYLES, strict=False):
            title = TITLES.get(configuration, configuration)
            axis.plot(curve["epoch"], curve["value"], line, color=colour, label=title)
            draw_band(axis, curve["epoch"], curve["value"], curve["std"], colour)
        if name in warmup:
            axis.axvline(warmup[name] + 0.5, color=GUIDE, linewidth=0.8)
            axis.annotate(
                "warm-up ends", (warmup[name] + 0.8, 0.97), xycoords=("data", "axes fraction"),
                va="top", fontsize=8, color=REMARK,
            )  # fmt: skip
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        axis.set_title(name)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=9)
    return figure


def _write(
    name: str,
    values: Callable[[Records], pd.DataFrame],
    draw: Callable[[pd.DataFrame, dict[str, int]], Figure],
    params: Params,
    runs: Path,
    reports: Path,
) -> list[Path]:
    records = load_records(params, runs, getattr(params, name), READS[name])
    curves = values(records)
    with replace_dir(reports / name) as folder:  # a column a curve, for dvc plots
        for dataset, rows in curves.groupby("dataset", sort=False):
            rendering.write_text(folder / f"{dataset}.csv", rendering.to_csv(wide(rows)))
    picture = reports / f"{name}.png"
    save_png(draw(curves, warmup_epochs(records)), picture)
    return [picture]


def _study(name: str, values: Callable, draw: Callable) -> Study:
    return Study(
        block=Lines,
        write=partial(_write, name, values, draw),
        check=lambda params: check_rows(params, name, getattr(params, name)),
        rows=lambda params: getattr(params, name),
        sections=READS[name],
    )


FIGURE4 = _study("figure4", gaps, draw_gaps)
FIGURE5 = _study("figure5", similarities, draw_similarities)
