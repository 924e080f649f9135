"""What the report is made of, before it is a page: sections of blocks, nothing but text in them.

A block's `kind` names the macro of page.html.j2 that shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup


@dataclass(frozen=True)
class Text:
    """A paragraph. look: "strong", set large, for the one sentence of a section; "note", small."""

    kind: ClassVar[str] = "text"
    words: str
    look: str = ""


@dataclass(frozen=True)
class Heading:
    """Of a part of a section."""

    kind: ClassVar[str] = "heading"
    words: str


@dataclass(frozen=True)
class Figures:
    """Numbers set large, each with what it is."""

    kind: ClassVar[str] = "figures"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Picture:
    """svg: of amid.report.svg or .dag. alt: what is seen, in words. caption: what is drawn.

    legend: (class of the style sheet, name) of what is drawn in one colour. wide: as wide as the
    page, scrolled sideways where that is too narrow.
    """

    svg: Markup
    alt: str
    caption: str
    legend: Sequence[tuple[str, str]] = ()
    wide: bool = False


@dataclass(frozen=True)
class Pictures:
    """Side by side where there is room. legend: what all of them share."""

    kind: ClassVar[str] = "pictures"
    items: Sequence[Picture]
    legend: Sequence[tuple[str, str]] = ()
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """text: as shown. order: what the column is sorted by, "" where there is nothing: last both
    ways. marks: of significance, with meaning.

    code: whether it is to be typed.
    """

    text: str
    order: str | float = ""
    marks: str = ""
    meaning: str = ""
    code: bool = False


@dataclass(frozen=True)
class Row:
    """Its first cell is its header. strong: the row that the others are compared with."""

    cells: Sequence[Cell]
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """name: said where it is not seen beside its caption. columns: (header, whether numbers)."""

    kind: ClassVar[str] = "table"
    name: str
    caption: str
    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Row]
    sources: Sources | None = None


@dataclass(frozen=True)
class Origin:
    """Runs of one row: (which one, key, epoch reported), and the command that trains them."""

    name: str
    runs: Sequence[tuple[str, str, int]]
    command: str


@dataclass(frozen=True)
class Sources:
    """of: the data set. what: what the numbers are of, as heard; a table says its own name."""

    kind: ClassVar[str] = "sources"
    of: str
    rows: Sequence[Origin]
    what: str = ""


@dataclass(frozen=True)
class Clip:
    """A test clip as shown. picture: data URL of its frames, None without.

    second: the class that was second, with its probability.
    """

    id: str
    label: str
    predicted: str
    probability: float
    second: str
    picture: str | None = None
    width: int = 0
    height: int = 0

    @property
    def right(self) -> bool:
        return self.label == self.predicted


@dataclass(frozen=True)
class Sheet:
    """Clips side by side."""

    kind: ClassVar[str] = "sheet"
    clips: Sequence[Clip]


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    blocks: Sequence[object] = field(default_factory=tuple)
