"""Tables 1 to 6 of the paper, and its own numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from amid.report import provenance
from amid.report.blocks import Heading, Section, Text
from amid.report.data import ReportData
from amid.report.table_blocks import MARKS, plain_table, tables
from amid.studies import base, folds, paper_numbers, recognition, retrieval, sensitivity
from amid.studies.base import BASELINE, TITLES


def paper_tables(data: ReportData) -> Section:
    """Tables 1 to 6."""
    untested, data = data.untested(), data.tested()
    params, rows = data.params, data.rows
    weights, noise = table6_frames(data)
    table3 = folds.table3(folds.per_fold(data.folds))
    named = {
        names: {
            dataset: provenance.of_configurations(data, dataset, of)
            for dataset, of in rows(getattr(params, names)).items()
        }
        for names in ("table1", "table4", "table5")
    }
    of_folds = {dataset: provenance.of_folds(data, dataset) for dataset in data.folds}
    of_weights = {name: provenance.of_weights(data, name) for name in data.sensitivity}
    first, fourth, fifth = map(rows, (params.table1, params.table4, params.table5))
    table1, table2 = frame_of(recognition.table1, first), frame_of(retrieval.table2, first)
    table4, table5 = frame_of(recognition.table4, fourth), frame_of(recognition.table5, fifth)
    parts = (
        (recognition.LAYOUT1, table1, base.BASELINE, "student", named["table1"]),
        (retrieval.LAYOUT, table2, base.BASELINE, "r@1", named["table1"]),
        (folds.layout(params), table3, base.BASELINE, "wa", of_folds),
        (recognition.LAYOUT4, table4, TITLES, "student", named["table4"]),
        (recognition.LAYOUT5, table5, TITLES, "student", named["table5"]),
        (sensitivity.LAYOUT, weights, {}, None, of_weights),
        (sensitivity.LAYOUT_NOISE, noise, {}, None, of_weights),
    )
    left_out = [
        Text(f"{dataset}: there are no test clips, so the tables have no row of it.")
        for dataset in untested
    ]
    blocks: list[object] = [
        Text(
            "Click a header to sort by its column. Marks after a number refer to the first p of "
            f"its row, marks after a p to that p: {MARKS}"
        ),
        *left_out,
    ]
    for layout, frame, titles, marked, origins in parts:
        blocks.append(Heading(layout.title))
        if frame.empty:
            blocks.append(Text(layout.empty.replace("`", "")))
        else:
            blocks += tables(frame, layout, titles, origins, marked=marked)
        blocks.append(Text(layout.note_for(frame).replace("`", ""), "note"))
    return Section("tables", "Tables 1 to 6", blocks)


def numbers_of_the_paper() -> Section:
    """What the paper reports, for the order of the rows: no number of this project."""
    named = {**TITLES, **BASELINE}
    blocks: list[object] = [
        Text(
            "The paper's own results on its data sets, with its networks; other data and other "
            "networks than those of the tables above, so compare the order of rows at most."
        )
    ]
    for caption, columns, rows in (
        (
            "Tables 1 and 4, Top-1 on UCF51",
            ("configuration", "student", "teacher"),
            [(named[name], *pair) for name, pair in paper_numbers.TABLE4.items()],
        ),
        (
            "Table 3, WA and UA on IEMOCAP",
            ("setup", "configuration", "WA", "UA"),
            [(setup, named[name], *pair) for (setup, name), pair in paper_numbers.TABLE3.items()],
        ),
        (
            "Table 5, Top-1 of the student on UCF51",
            ("configuration", "student"),
            [(named[name], value) for name, value in paper_numbers.TABLE5.items()],
        ),
        (
            "Table 6, Top-1 of the student on UCF51",
            ("weight", "value", "student"),
            [(*place, value) for place, value in paper_numbers.TABLE6.items()],
        ),
    ):
        blocks += [Heading(caption), plain_table(caption, columns, rows)]
    return Section("the-paper", "The paper's numbers", blocks)


def table6_frames(data: ReportData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Table 6, and its comparison with the noise of the seeds; of runs with test clips."""
    params = data.params
    defaults = sensitivity.defaults(params)
    table = frame_of(lambda rows: sensitivity.table6(rows, defaults), data.sensitivity)
    return table, frame_of(lambda rows: sensitivity.noise(rows, params), data.sensitivity)


def frame_of(table: Callable[[Any], pd.DataFrame], rows: Mapping[str, Any]) -> pd.DataFrame:
    """table(rows); without columns where no data set is left."""
    return table(rows) if rows else pd.DataFrame()
