"""Contrastive pre-training on noisy pairs: Table 7 and Figure 7 in small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from markupsafe import Markup

from amid.report import provenance
from amid.report.blocks import Origin, Picture, Pictures, Provenance, Section, Text
from amid.report.table_blocks import tables
from amid.studies.contrastive import LAYOUT, RUNS, SMALL, block_of, contrastive, curves, draw
from amid.studies.plotting import to_inline_svg
from amid.studies.rendering import decimals

if TYPE_CHECKING:
    import pandas as pd

    from amid.core.types import RunRecord
    from amid.report.data import ReportData


# Of the table's columns, those that the file alone has: all of them do not fit on a screen.
LEFT_OUT = ("r10", "median_rank", "r1_last", "precision", "recall", "reached", "to_level")


def noisy_pairs(data: ReportData) -> list[Section]:
    """The section; none without the runs."""
    if not data.pairs:
        return []
    table = contrastive(data.pairs)
    shown = tuple(column for column in LAYOUT.columns if column.name not in LEFT_OUT)
    missing = [column.header for column in LAYOUT.columns if column.name in LEFT_OUT]
    ratio = block_of(data.params, SMALL).figure_ratio
    command = data.stages[RUNS[SMALL]].command("")
    origins = {name: _provenance(name, rows, command) for name, rows in data.pairs.items()}
    caption = "Retrieval against compute, and wrong pairs among the kept over the epochs"
    figure = to_inline_svg(draw(curves(data.pairs, ratio)), caption)
    blocks: list[object] = [
        Text(
            "Encoders of two modalities aligned without labels on pairs of which some hold another "
            "clip's modality: all pairs, and rules that train on a part of each batch. The small "
            "version of a study; the whole of it is in docs/contrastive.md. Only in "
            f"reports/table7_small.md: {', '.join(missing)}."
        ),
        *tables(table, replace(LAYOUT, columns=shown), {}, origins),
        Pictures([Picture(Markup(figure), _told(table), caption, layout="wide")]),
        Text(LAYOUT.note.replace("`", ""), "note"),
    ]
    return [Section("pairs", "Contrastive pre-training on noisy pairs", blocks)]


def _told(table: pd.DataFrame) -> str:
    rows = "; ".join(
        f"{row['rule']}: R@1 {decimals(row['r1'])}, wrong pairs {decimals(row['kept_wrong'])}"
        for row in table.to_dict("records")
    )
    return f"At the end, in per cent: {rows}."


def _provenance(
    dataset: str, rows: Mapping[tuple[str, float, float], Sequence[RunRecord]], command: str
) -> Provenance:
    origins = [
        Origin(
            f"{rule}, ratio {ratio:g}, {100 * mismatched:g} % wrong",
            provenance.seeds(runs),
            command,
        )
        for (rule, ratio, mismatched), runs in rows.items()
    ]
    return Provenance(dataset, origins, LAYOUT.title)
