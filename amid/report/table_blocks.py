"""Frames of results by their layouts as tables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from amid.io.redact import escape_control
from amid.report.blocks import Cell, Provenance, Row, Table
from amid.studies.base import REFERENCE
from amid.studies.rendering import UNDEFINED, Column, Layout, decimals

LEVELS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
MARKS = "* p < .05, ** p < .01, *** p < .001."


class Code(str):
    """A command, for a cell."""


def tables(
    frame: pd.DataFrame,
    layout: Layout,
    titles: Mapping[str, str],
    provenance: Mapping[str, Provenance],
    *,
    marked: str | None = None,
) -> list[Table]:
    """One table per data set. titles: of names in left-aligned columns. provenance: by data set.

    marked: the column with the marks of the first p of its row; every p has its own marks.
    """
    return [
        Table(
            f"{layout.title}, {dataset}",
            layout.heading.format(**rows.iloc[0]).replace("1 seeds", "1 seed"),
            [(c.header, not c.left) for c in layout.columns_of({dataset})],
            [row(values, layout, titles, marked) for values in rows.to_dict("records")],
            provenance.get(dataset),
        )
        for dataset, rows in frame.groupby("dataset", sort=False)
    ]


def row(values: dict, layout: Layout, titles: Mapping[str, str], marked: str | None) -> Row:
    ps = [column.name for column in layout.columns if _is_p(column.name)]
    first = values[ps[0]] if ps else None
    cells = []
    for column in layout.columns_of({values["dataset"]}):
        bears = values[column.name] if _is_p(column.name) else None
        if column.name == marked:
            bears = first
        cells.append(cell(values, column, titles, bears))
    return Row(cells, strong=values.get("configuration") == REFERENCE)


def cell(values: dict, column: Column, titles: Mapping[str, str], p: float | None) -> Cell:
    """A value formatted by its column, or the title of a name. p: of its significance marks."""
    value = values[column.name]
    if column.left:
        return Cell(escape_control(titles.get(value, str(value))), escape_control(str(value)))
    order = "" if pd.isna(value) else float(value)
    stars = marks(p)
    return Cell(column.form(values, column.name, False), order, stars, meaning(stars))


def marks(p: float | None) -> str:
    """Significance marks of p, "" where it is undefined."""
    if p is None or pd.isna(p):
        return ""
    return next((stars for level, stars in LEVELS if p < level), "")


def meaning(stars: str) -> str:
    level = next((f"{level:g}".removeprefix("0") for level, own in LEVELS if own == stars), "")
    return f"p < {level}" if level else ""


def plain_table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table of text and numbers; columns of numbers are right-aligned."""
    numeric = [
        bool(rows) and all(isinstance(row[n], int | float) for row in rows)
        for n in range(len(columns))
    ]
    return Table(
        caption,
        caption,
        list(zip(columns, numeric, strict=True)),
        [Row([_cell(value) for value in row]) for row in rows],
    )


def _cell(value: object) -> Cell:
    if isinstance(value, float):
        return Cell(decimals(value), value)
    if isinstance(value, int):
        return Cell(f"{value:,}".replace(",", "\u202f"), value)
    if value is None:
        return Cell(UNDEFINED)
    words = escape_control(str(value))
    return Cell(words, words, code=isinstance(value, Code))


def _is_p(name: str) -> bool:
    return name.startswith("p_")
