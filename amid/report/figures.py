"""Figures 3 to 6, drawn by the functions that draw their PNG, one figure per data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from amid.io.redact import escape_control
from amid.report.blocks import Heading, Layout, Picture, Pictures, Section, Text
from amid.report.data import ReportData, short
from amid.report.paper_tables import table6_frames
from amid.studies import class_wise, sensitivity
from amid.studies.gap_and_similarity import (
    draw_gaps,
    draw_similarities,
    gaps,
    similarities,
    warmup_epochs,
)
from amid.studies.plotting import to_inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_CLASSES = 60  # in Figure 3; with more classes, those with the largest differences
OVER_EPOCHS = {4: "teacher − student in points", 5: "mean cosine within a class"}


def paper_figures(data: ReportData) -> Section:
    """Figures 3 to 6 from the frames that their PNG is drawn from."""
    params, rows = data.params, data.rows
    tested = data.tested()
    untested = [Text(f"{dataset}: there are no test clips.") for dataset in data.untested()]
    blocks: list[object] = [Heading("Figure 3: accuracy class by class"), *untested]
    if compared := tested.rows(params.figure3):
        panels = class_wise.class_wise(compared).groupby("dataset", sort=False)
        note = "Classes by falling difference; means over seeds at the evaluated epoch."
        blocks.append(Pictures([_class_wise(*panel) for panel in panels], note=note))
    blocks.append(Heading("Figures 4 and 5: teacher and student over the epochs"))
    over_epochs = []
    for dataset in params.datasets:
        for number, names, frame_of, draw in (
            (4, params.figure4, gaps, draw_gaps),
            (
                5,
                params.figure5,
                similarities,
                draw_similarities,
            ),
        ):
            what = OVER_EPOCHS[number]
            records = {dataset: rows(names)[dataset]}
            frame = frame_of(records)
            figure = draw(frame, warmup_epochs(records))
            caption = f"Figure {number}: {what}, {dataset}"
            over_epochs.append(_picture(figure, _told(frame, what), caption, "half"))
    note = "Validation split; bands are one standard deviation over seeds."
    blocks.append(Pictures(over_epochs, note=note))
    blocks += [Heading("Figure 6: sensitivity to the weights"), *untested]
    if tested.sensitivity:
        table6, _ = table6_frames(tested)
        panels = table6.groupby("dataset", sort=False)
        note = "Error bars are one standard deviation over seeds; the default is circled."
        blocks.append(Pictures([_sensitivity(*panel) for panel in panels], note=note))
    return Section("figures", "Figures 3 to 6", blocks)


def _picture(figure: Figure, alt: str, caption: str, layout: Layout) -> Picture:
    return Picture(Markup(to_inline_svg(figure, caption)), alt, caption, layout=layout)


def _class_wise(dataset: str, panel: pd.DataFrame) -> Picture:
    """Figure 3 of one data set. panel: as from class_wise.class_wise."""
    first, second = (name.removesuffix("_std") for name in panel if name.endswith("_std"))
    count = len(panel)
    if count > SHOWN_CLASSES:  # the order is that of the differences: both ends
        half = SHOWN_CLASSES // 2
        panel = pd.concat([panel.head(half), panel.tail(half)])
    panel = panel.assign(**{"class": [escape_control(str(label)) for label in panel["class"]]})
    differences = panel["difference"]
    ahead = int((differences > 0).sum())
    named = zip(panel["class"], differences, strict=True)
    told = ", ".join(f"{label} {difference:+.1f}" for label, difference in named)
    shown = f"{count} classes"
    if count > SHOWN_CLASSES:
        shown = f"the {SHOWN_CLASSES} of {shown} with the largest differences"
    return _picture(
        class_wise.draw_class_wise(panel),
        f"{short(first)} is ahead of {short(second)} in {ahead} of {len(panel)} classes. "
        f"Differences in points: {told}.",
        f"Figure 3: {shown}, {dataset}",
        "wide",
    )


def _told(frame: pd.DataFrame, what: str) -> str:
    """Figure 4 or 5 of one data set in words. frame: as from gap_and_similarity.over_epochs."""
    ends = []
    for configuration, of in frame.groupby("configuration", sort=False):
        first, last = of["value"].iloc[0], of["value"].iloc[-1]
        ends.append(f"{short(configuration)} from {first:.2f} to {last:.2f}")
    epochs = frame["epoch"]
    return f"{what} over the epochs {epochs.min()} to {epochs.max()}: {'; '.join(ends)}."


def _sensitivity(dataset: str, table: pd.DataFrame) -> Picture:
    """Figure 6 of one data set. table: as from sensitivity.table6."""
    told = []
    for weight, rows in table.groupby("weight", sort=False):
        heads = [head for head in ("student", "teacher") if rows[head].notna().any()]
        ranges = [
            f"the {head}'s from {rows[head].min():.1f} to {rows[head].max():.1f} %, best at "
            f"{rows.loc[rows[head].idxmax(), 'value']:g}"
            for head in heads
        ]
        told.append(f"Accuracy at {len(rows)} values of {weight}: {'; '.join(ranges)}.")
    caption = f"Figure 6: test Top-1 at other weights, {dataset}"
    return _picture(sensitivity.draw_sensitivity(table), " ".join(told), caption, "wide")
