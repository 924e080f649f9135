"""Cell-by-cell diff of two versions of a result table (CSV)."""

from __future__ import annotations

import csv
from typing import NamedTuple

from amid.studies.rendering import plain


class CellChange(NamedTuple):
    """A cell that differs. row: the values that identify its row; before, after: "" if absent."""

    row: tuple[str, ...]
    column: str
    before: str
    after: str


def diff_tables(before: str, after: str) -> list[CellChange]:
    """The cells that differ between the texts of two CSV files, row by row.

    Rows are matched by their first columns, as few as identify every row; a row that only one file
    has differs in all its cells.
    """
    old, new = (list(csv.DictReader(text.splitlines())) for text in (before, after))
    columns = list(dict.fromkeys(column for row in (*new, *old) for column in row))
    width = next(
        (n for n in range(1, len(columns)) if all(_unique(t, columns[:n]) for t in (old, new))),
        len(columns),
    )
    here, there = ({tuple(r.get(c, "") for c in columns[:width]): r for r in t} for t in (old, new))
    return [
        CellChange(
            key, column, here.get(key, {}).get(column, ""), there.get(key, {}).get(column, "")
        )
        for key in dict.fromkeys((*there, *here))
        for column in columns[width:]
        if here.get(key, {}).get(column, "") != there.get(key, {}).get(column, "")
    ]


def as_markdown(found: list[CellChange]) -> str:
    """The changed cells as a Markdown table, with the difference where both are numbers."""
    lines = ["| row | column | before | after | difference |", "|---|---|---:|---:|---:|"]
    for change in found:
        cells = (" ".join(change.row), change.column, change.before or "-", change.after or "-")
        lines.append(f"| {' | '.join(map(plain, cells))} | {_difference(change)} |")
    return "\n".join(lines) + "\n"


def _unique(rows: list[dict[str, str]], columns: list[str]) -> bool:
    return len({tuple(row.get(c, "") for c in columns) for row in rows}) == len(rows)


def _difference(change: CellChange) -> str:
    try:
        return f"{float(change.after) - float(change.before):+.4g}"
    except ValueError:
        return ""
