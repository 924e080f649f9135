"""Frames -> CSV, Markdown and LaTeX, by a declaration of the columns (amid.studies.layouts has
them)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from amid.io.redact import escape_control

Row = Mapping[str, Any]
# (row of the frame, name of the column, whether for LaTeX) -> the cell
Form = Callable[[Row, str, bool], str]
UNDEFINED = "-"
LATEX = str.maketrans(
    {character: f"\\{character}" for character in "_%&#{}$"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)
MARKDOWN = str.maketrans(
    {character: f"\\{character}" for character in "\\|`*[]"}
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
)


def spread(row: Row, name: str, latex: bool) -> str:
    """A mean with its deviation, the column <name>_std, one decimal."""
    mean, std = row[name], row[f"{name}_std"]
    if pd.isna(mean):
        return UNDEFINED
    sign = r"$\pm$" if latex else "±"
    return f"{mean:.1f}" if pd.isna(std) else f"{mean:.1f} {sign} {std:.1f}"


def number(row: Row, name: str, latex: bool) -> str:
    """One decimal."""
    return UNDEFINED if pd.isna(row[name]) else f"{row[name]:.1f}"


def signed(row: Row, name: str, latex: bool) -> str:
    """One decimal, with its sign."""
    if pd.isna(row[name]):
        return UNDEFINED
    shown = f"{row[name]:+.1f}"
    return f"${shown}$" if latex else shown.replace("-", "−")


def share(row: Row, name: str, latex: bool) -> str:
    """A share in 0..1, two decimals."""
    return UNDEFINED if pd.isna(row[name]) else f"{row[name]:.2f}"


def p_value(row: Row, name: str, latex: bool) -> str:
    """Three decimals without the zero before them."""
    if pd.isna(row[name]):
        return UNDEFINED
    if row[name] < 0.001:
        return "$<$ .001" if latex else "< .001"
    return f"{row[name]:.3f}".removeprefix("0")


def text(row: Row, name: str, latex: bool) -> str:
    """As it is, numbers in their shortest form."""
    if pd.isna(row[name]):
        return UNDEFINED
    if isinstance(row[name], float):
        return f"{row[name]:g}"
    return _escaped(str(row[name])) if latex else plain(str(row[name]))


def code(row: Row, name: str, latex: bool) -> str:
    if latex:
        return rf"\texttt{{{_escaped(row[name])}}}"
    # A fence longer than any run of backticks inside; a bar ends a cell even there.
    content = escape_control(row[name]).replace("|", r"\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", content)), default=0))
    pad = " " if "`" in content else ""
    return f"{fence}{pad}{content}{pad}{fence}"


def mark(row: Row, name: str, latex: bool) -> str:
    """A truth value."""
    return "yes" if row[name] else ""


def titled(titles: Mapping[str, str], bold: str | None = None) -> Form:
    """Names by their titles, the name `bold` in bold print (in Markdown)."""

    def form(row: Row, name: str, latex: bool) -> str:
        title = titles.get(row[name], row[name])
        if latex:
            return _escaped(title)
        return f"**{plain(title)}**" if row[name] == bold else plain(title)

    return form


@dataclass(frozen=True)
class Column:
    """One column for reading.

    name: of the frame's column. header: in Markdown. latex: header in LaTeX; None leaves the column
    out there, "" is for one that the header before spans. left: set flush left.
    """

    name: str
    header: str
    latex: str | None = None
    form: Form = spread
    left: bool = False


@dataclass(frozen=True)
class Layout:
    """A table for reading.

    heading: of the rows of one data set, a format string over the columns of the frame.
    note: below the table, what the numbers are. empty: in place of a table without rows.
    """

    title: str
    columns: tuple[Column, ...]
    note: str
    heading: str = "{dataset}, {seeds} seeds"
    empty: str = "No rows."


def to_csv(table: pd.DataFrame) -> str:
    """CSV with four decimals: enough to compute with, the same on every machine.

    Text stands there as it is, though a spreadsheet takes what begins with =, +, - or @ for a
    formula: programs read these files, and an apostrophe before it would make it another class.
    """
    return table.to_csv(index=False, float_format="%.4f", lineterminator="\n")


def markdown(table: pd.DataFrame, layout: Layout) -> str:
    """Title, a table a data set, note."""
    lines = [f"# {layout.title}", ""]
    if table.empty:
        lines += [layout.empty, ""]
    for _, rows in table.groupby("dataset", sort=False):
        lines += [f"## {plain(layout.heading.format(**rows.iloc[0]))}", ""]
        lines.append(_line(column.header for column in layout.columns))
        lines.append("|" + "".join("---|" if c.left else "---:|" for c in layout.columns))
        for row in rows.to_dict("records"):
            lines.append(_line(c.form(row, c.name, False) for c in layout.columns))
        lines.append("")
    return "\n".join([*lines, layout.note, ""])


def latex(table: pd.DataFrame, layout: Layout) -> str:
    """A tabular of all data sets (needs no package); the sentence `empty` without rows."""
    if table.empty:
        return _escaped(layout.empty) + "\n"
    columns = [column for column in layout.columns if column.latex is not None]
    alignment = "".join("l" if column.left else "r" for column in columns)
    lines = [rf"\begin{{tabular}}{{l{alignment}}}", r"\hline"]
    lines.append(" & ".join(["data", *(c.latex for c in columns if c.latex)]) + r" \\")
    for dataset, rows in table.groupby("dataset", sort=False):
        lines.append(r"\hline")
        for row in rows.to_dict("records"):
            cells = [_escaped(dataset), *(c.form(row, c.name, True) for c in columns)]
            lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def write(table: pd.DataFrame, layout: Layout, folder: Path, name: str) -> list[Path]:
    """<name>.csv, .md and .tex in `folder`; their paths."""
    texts = {"csv": to_csv(table), "md": markdown(table, layout), "tex": latex(table, layout)}
    return [write_text(folder / f"{name}.{kind}", content) for kind, content in texts.items()]


def write_text(path: Path, content: str) -> Path:
    """The same bytes on every system; makes the folder, gives back the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8", newline="\n")
    return path


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escaped(content: str) -> str:
    """For LaTeX."""
    return escape_control(content).translate(LATEX)


def plain(content: str) -> str:
    """For Markdown: no cell's end, no markup, no HTML."""
    return escape_control(content).translate(MARKDOWN)
