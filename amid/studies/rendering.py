"""Frames -> CSV, Markdown and LaTeX, by a declaration of the columns (amid.studies.layouts has
them)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from amid.io.atomic import write_atomic
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


def decimals(value: float, places: int = 1, sign: str = "") -> str:
    """`value` with `places` decimals, half a digit rounded up, never -0; sign: "+" has plus signs.

    What is rounded are the four decimals of the CSV file, so that whoever reads a mean of 8.25 from
    there shows what was written from the mean itself, whose last bit may lie on either side.
    """
    four = Decimal(f"{value:.4f}")
    rounded = four.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return format(rounded or abs(rounded), f"{sign}f")


def spread(row: Row, name: str, latex: bool) -> str:
    """A mean with its deviation, the column <name>_std, one decimal."""
    mean, std = row[name], row[f"{name}_std"]
    if pd.isna(mean):
        return UNDEFINED
    sign = r"$\pm$" if latex else "±"
    return decimals(mean) if pd.isna(std) else f"{decimals(mean)} {sign} {decimals(std)}"


def number(row: Row, name: str, latex: bool) -> str:
    """One decimal."""
    return UNDEFINED if pd.isna(row[name]) else decimals(row[name])


def signed(row: Row, name: str, latex: bool) -> str:
    """One decimal, with its sign."""
    if pd.isna(row[name]):
        return UNDEFINED
    shown = decimals(row[name], sign="+")
    return f"${shown}$" if latex else shown.replace("-", "−")


def share(row: Row, name: str, latex: bool) -> str:
    """A share in 0..1, two decimals."""
    return UNDEFINED if pd.isna(row[name]) else decimals(row[name], 2)


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
    out there, "" is for one that the header before spans. left: set flush left. of: the only data
    set whose rows show it, as numbers of the paper do.
    """

    name: str
    header: str
    latex: str | None = None
    form: Form = spread
    left: bool = False
    of: str | None = None


@dataclass(frozen=True)
class Layout:
    """A table for reading.

    heading: of the rows of one data set, a format string over the columns of the frame.
    note: below the table, what the numbers are. note_of: the same of the columns that one data set
    alone shows. empty: in place of a table without rows.
    """

    title: str
    columns: tuple[Column, ...]
    note: str
    heading: str = "{dataset}, {seeds} seeds"
    empty: str = "No rows."
    note_of: str = ""

    def columns_of(self, datasets: Collection[str]) -> tuple[Column, ...]:
        """The columns that the rows of any of these data sets show."""
        return tuple(c for c in self.columns if c.of is None or c.of in datasets)

    def note_for(self, table: pd.DataFrame) -> str:
        """The note below a table of these rows."""
        datasets = set() if table.empty else set(table["dataset"])
        shown = any(c.of in datasets for c in self.columns if c.of is not None)
        return f"{self.note} {self.note_of}" if shown else self.note


def to_csv(table: pd.DataFrame) -> str:
    """CSV with four decimals: enough to compute with, the same on every machine.

    Text stands there as it is, though a spreadsheet takes what begins with =, +, - or @ for a
    formula: programs read these files, and an apostrophe before it would make it another class.
    """
    return table.to_csv(index=False, float_format="%.4f", lineterminator="\n")


def markdown(table: pd.DataFrame, layout: Layout, remarks: Sequence[str] = ()) -> str:
    """Title, a table a data set, note; last the remarks on these numbers, a paragraph each."""
    lines = [f"# {layout.title}", ""]
    if table.empty:
        lines += [layout.empty, ""]
    for dataset, rows in table.groupby("dataset", sort=False):
        columns = layout.columns_of({dataset})
        lines += [f"## {plain(layout.heading.format(**rows.iloc[0]))}", ""]
        lines.append(_line(column.header for column in columns))
        lines.append("|" + "".join("---|" if c.left else "---:|" for c in columns))
        for row in rows.to_dict("records"):
            lines.append(_line(c.form(row, c.name, False) for c in columns))
        lines.append("")
    lines += [layout.note_for(table), ""]
    for remark in remarks:
        lines += [f"**{plain(remark)}**", ""]
    return "\n".join(lines)


def latex(table: pd.DataFrame, layout: Layout) -> str:
    """A tabular of all data sets (needs no package); the sentence `empty` without rows."""
    if table.empty:
        return _escaped(layout.empty) + "\n"
    columns = [c for c in layout.columns_of(set(table["dataset"])) if c.latex is not None]
    alignment = "".join("l" if column.left else "r" for column in columns)
    lines = [rf"\begin{{tabular}}{{l{alignment}}}", r"\hline"]
    lines.append(" & ".join(["data", *(c.latex for c in columns if c.latex)]) + r" \\")
    for dataset, rows in table.groupby("dataset", sort=False):
        lines.append(r"\hline")
        for row in rows.to_dict("records"):
            cells = [_escaped(dataset)]
            for c in columns:
                shown = c.of in (None, dataset)
                cells.append(c.form(row, c.name, True) if shown else UNDEFINED)
            lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def write(
    table: pd.DataFrame, layout: Layout, folder: Path, name: str, remarks: Sequence[str] = ()
) -> list[Path]:
    """<name>.csv, .md and .tex in `folder`; their paths. remarks: last in the .md."""
    pages = {"md": markdown(table, layout, remarks), "tex": latex(table, layout)}
    texts = {"csv": to_csv(table), **pages}
    return [write_text(folder / f"{name}.{kind}", content) for kind, content in texts.items()]


def write_text(path: Path, content: str) -> Path:
    """The same bytes on every system, at once or not at all; makes the folder, returns the path."""
    write_atomic(path, content.encode())
    return path


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escaped(content: str) -> str:
    """For LaTeX."""
    return escape_control(content).translate(LATEX)


def plain(content: str) -> str:
    """For Markdown: no cell's end, no markup, no HTML."""
    return escape_control(content).translate(MARKDOWN)
