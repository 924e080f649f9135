"""What became of tables: the cells that differ between two versions of their CSV files."""

from __future__ import annotations

import csv
from typing import NamedTuple

from amid.rendering import plain


class Change(NamedTuple):
    """A cell of a table. row: the columns that name it; before, after: empty where it is not."""

    row: tuple[str, ...]
    column: str
    before: str
    after: str


def changes(before: str, after: str) -> list[Change]:
    """The cells that differ between two texts of a CSV file, row by row; a row that only one has
    differs in all its cells. Rows are known by their first columns, as few as tell them apart."""
    old, new = (list(csv.DictReader(text.splitlines())) for text in (before, after))
    columns = list(dict.fromkeys(column for row in (*new, *old) for column in row))
    width = next(
        (n for n in range(1, len(columns)) if all(_unique(t, columns[:n]) for t in (old, new))),
        len(columns),
    )
    here, there = ({tuple(r.get(c, "") for c in columns[:width]): r for r in t} for t in (old, new))
    return [
        Change(key, column, here.get(key, {}).get(column, ""), there.get(key, {}).get(column, ""))
        for key in dict.fromkeys((*there, *here))
        for column in columns[width:]
        if here.get(key, {}).get(column, "") != there.get(key, {}).get(column, "")
    ]


def as_markdown(found: list[Change]) -> str:
    """A table of the changes, with the difference where both are numbers."""
    lines = ["| row | column | before | after | difference |", "|---|---|---:|---:|---:|"]
    for change in found:
        cells = (" ".join(change.row), change.column, change.before or "-", change.after or "-")
        lines.append(f"| {' | '.join(map(plain, cells))} | {_difference(change)} |")
    return "\n".join(lines) + "\n"


def _unique(rows: list[dict[str, str]], columns: list[str]) -> bool:
    return len({tuple(row.get(c, "") for c in columns) for row in rows}) == len(rows)


def _difference(change: Change) -> str:
    try:
        return f"{float(change.after) - float(change.before):+.4g}"
    except ValueError:
        return ""
