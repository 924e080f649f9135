"""Read a manifest into a `Sheet`: all its cells as text, with the line that each row stands in.

CSV is read as spreadsheets write it, TSV as IANA defines text/tab-separated-values: without quotes.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from amid.errors import AmidError

UNLABELLED = "unlabelled"  # the label of all clips of a data set without labels
SHOWN = 10  # lines listed of one kind of mistake
KINDS = (".csv", ".tsv", ".parquet")
Line = int | str  # the number of a line or row; with its file, where a manifest has several

QUOTES_SWALLOW = (
    "a cell in quotes that spans lines which look like rows (a lone quote?): set `quoting: false` "
    "in the options if quotes mean nothing in this file, `quoting: true` if they are right"
)
QUOTES_KEPT = (
    "a cell in quotes, which a .tsv does not have: write it without them, or set `quoting: true` "
    "in the options (`quoting: false` if they belong to the cell)"
)
NO_CELL = (
    "a cell that cannot be told (a quote without its end?): correct it, or set `quoting: false` in "
    "the options if quotes mean nothing in this file"
)
OTHER_NUMBER = "lines of another number of cells than the header"


class Sheet(NamedTuple):
    """A manifest as it was read: cells as text, "" where empty, without spaces around them.

    columns: all of the file. rows: at least the cells of the columns that were asked for. notes:
    sentences about what is no mistake but worth knowing.
    """

    name: str
    columns: list[str]
    rows: list[dict[str, str]]
    lines: list[Line]
    word: str  # what a line is called: "line" or "row"
    notes: list[str]


class Problems:
    """The mistakes in a manifest by kind, in the order in which they were found."""

    def __init__(self, sheet_name: str, word: str) -> None:
        self.name, self.word = sheet_name, word
        self.found: dict[str, list[str]] = {}

    def add(self, title: str, line: Line | None = None, detail: str = "") -> None:
        """One mistake; those of one title are listed together."""
        place = "" if line is None else line if isinstance(line, str) else f"{self.word} {line}"
        self.found.setdefault(title, []).append(": ".join(filter(None, [place, detail])))

    def text(self) -> str:
        """All of them, "" where there are none: a first line, then one a kind with its places."""
        if not self.found:
            return ""
        counted = "1 problem" if len(self.found) == 1 else f"{len(self.found)} kinds of problems"
        of_csv = " (the header is line 1)" if self.word == "line" else " (the first row is row 1)"
        text = [f"{self.name} has {counted}{of_csv}:"]
        for title, places in self.found.items():
            places = list(filter(None, places))
            text.append(f"  - {title}" + (":" if places else ""))
            text += [f"      {place}" for place in places[:SHOWN]]
            if len(places) > SHOWN:
                text.append(f"      and {len(places) - SHOWN} more")
        return "\n".join(text)

    def close(self) -> None:
        """Raise AmidError that lists all of them, if there are any."""
        if self.found:
            raise AmidError(self.text())


def used_columns(modalities: Collection[str]) -> set[str]:
    """The columns that a manifest of these modalities may have; others are ignored."""
    times = {f"{modality}_{end}" for modality in modalities for end in ("start", "end")}
    return {"id", "label", "split", "fold", "group", *modalities, *times}


def unlabelled(sheet: Sheet) -> Sheet:
    """The sheet with one label for all rows, in place of any it has."""
    columns = [*(name for name in sheet.columns if name != "label"), "label"]
    rows = [{**row, "label": UNLABELLED} for row in sheet.rows]
    return sheet._replace(columns=columns, rows=rows)


def read_manifest(
    path: Path, used: Collection[str] | None = None, quoting: bool | None = None
) -> Sheet:
    """A manifest: a .csv, .tsv or .parquet file, or a folder of .parquet files.

    used: columns that are wanted; cells of others are not looked at. None: all columns of single
        values, for a look at an unknown file.
    quoting: whether quotes enclose cells. None: in a .csv they do, where no row can be lost by
        that; in a .tsv they do not.

    Raises AmidError for what is no table, with all lines that cannot be read.
    """
    if path.is_dir() or (path.is_file() and path.suffix.lower() == ".parquet"):
        from amid.datasets.own.parquet import read_parquet  # takes pyarrow

        return read_parquet(path, used)
    if not path.is_file():
        raise AmidError(f"The manifest {path} does not exist: check `folder` and `manifest`.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AmidError(
            f"{path.name} is not UTF-8 at byte {error.start}: save it as UTF-8."
        ) from error
    except OSError as error:
        raise AmidError(f"The manifest {path.name} cannot be read: {error.strerror}.") from error
    return parse_text(text, path.name, path.suffix.lower() == ".tsv", used, quoting)


def parse_text(
    text: str, name: str, tabs: bool, used: Collection[str] | None, quoting: bool | None
) -> Sheet:
    """The sheet that `text` holds; name: of the file, tabs: whether it is a .tsv."""
    problems = Problems(name, "line")
    physical = re.split(r"\r\n|\r|\n", text)
    # Excel's own first line: which character separates cells
    told = None if tabs else re.fullmatch(r"\"?sep=(.)\"?[,;\t]*", physical[0])
    first = physical[1 if told and len(physical) > 1 else 0]
    separator = "\t" if tabs else told[1] if told else max(",;\t", key=first.count)
    quoted = not tabs if quoting is None else quoting
    columns: list[str] = []
    width = 0  # cells of the header, those without a name among them
    found: list[dict[str, str]] = []
    lines: list[Line] = []
    spanning = []
    for start, end, cells in _records(text, physical, separator, quoted, problems):
        if (start == 1 and told) or not any(cells):
            continue
        if not columns:
            columns, width = cells, len(cells)
            while not columns[-1]:  # as spreadsheets write them where a cell was used once
                columns = columns[:-1]
            if tabs and quoting is None and any(map(_is_quoted, cells)):
                problems.add(QUOTES_KEPT, start)
            continue
        if end > start and quoting is None and _hold_rows(physical[start:end], separator, width):
            problems.add(QUOTES_SWALLOW, f"lines {start} to {end}")
            continue
        if not _fit(cells, columns, used):
            detail = f"{len(cells)} cells, but the header has {len(columns)}"
            problems.add(OTHER_NUMBER, start, detail)
            continue
        if end > start:
            spanning.append(f"{start} to {end}")
        cells += [""] * (len(columns) - len(cells))
        named = zip(columns, cells, strict=False)
        row = {name: cell for name, cell in named if name and (used is None or name in used)}
        if tabs and quoting is None:
            for column in filter(lambda column: _is_quoted(row[column]), row):
                problems.add(QUOTES_KEPT, start, f"`{column}`")
        found.append(row)
        lines.append(start)
    problems.close()
    notes = []
    if spanning:
        shown = ", ".join(spanning[:SHOWN]) + (" and others" if len(spanning) > SHOWN else "")
        notes.append(f"{name}: quoted cells span lines, so these are one row each: lines {shown}.")
    return Sheet(name, columns, found, lines, "line", notes)


def _records(
    text: str, physical: list[str], separator: str, quoted: bool, problems: Problems
) -> Iterator[tuple[int, int, list[str]]]:
    """First line, last line and cells of each row, the header among them."""
    if not quoted:
        for number, line in enumerate(physical, 1):
            yield number, number, [cell.strip() for cell in line.split(separator)]
        return
    limit = csv.field_size_limit(max(len(text), 1))  # a long cell is none of our business
    start = 1
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        for cells in reader:
            yield start, reader.line_num, [cell.strip() for cell in cells]
            start = reader.line_num + 1
    except csv.Error as error:
        problems.add(NO_CELL, start, str(error))
    finally:
        csv.field_size_limit(limit)


def _fit(cells: list[str], columns: list[str], used: Collection[str] | None) -> bool:
    """Whether a line has a cell for every column that counts, and no more: spreadsheets leave out
    empty cells at the end of a line, or write some too many."""
    if len(cells) >= len(columns):
        return not any(cells[len(columns) :])
    return used is not None and not any(name in used for name in columns[len(cells) :])


def _hold_rows(lines: list[str], separator: str, width: int) -> bool:
    """Whether one of the lines by itself has as many cells as the header."""
    return any(len(next(csv.reader([line], delimiter=separator), [])) == width for line in lines)


def _is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'
