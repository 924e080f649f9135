"""The content of the page: sections of blocks.

A block's `kind` is the name of the macro of page.html.j2 that renders it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from markupsafe import Markup


@dataclass(frozen=True)
class Text:
    """A paragraph. look: "strong" for the main sentence of a section, "note" for small print."""

    kind: ClassVar[str] = "text"
    words: str
    look: str = ""


@dataclass(frozen=True)
class Heading:
    """The heading of a part of a section."""

    kind: ClassVar[str] = "heading"
    words: str


@dataclass(frozen=True)
class KeyNumbers:
    """Numbers in large type. items: (number, what it is)."""

    kind: ClassVar[str] = "key_numbers"
    items: Sequence[tuple[str, str]]


# "panel" scales to its column. The others scroll sideways where there is too little room: "half"
# takes half of a desktop's page, "wide" has its own size.
Layout = Literal["panel", "half", "wide"]


@dataclass(frozen=True)
class Picture:
    """svg: an element of amid.report.svg, amid.report.dag or amid.studies.plotting.

    alt: what is seen, in words. caption: what is drawn. legend: (class of the style sheet, name) of
    what is drawn in one colour.
    """

    svg: Markup
    alt: str
    caption: str
    legend: Sequence[tuple[str, str]] = ()
    layout: Layout = "panel"


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side where there is room. legend: shared by all of them."""

    kind: ClassVar[str] = "pictures"
    items: Sequence[Picture]
    legend: Sequence[tuple[str, str]] = ()
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    order: sort key of the column; "" sorts last in both directions. marks: of significance, with
    their meaning. code: whether the text is a command.
    """

    text: str
    order: str | float = ""
    marks: str = ""
    meaning: str = ""
    code: bool = False


@dataclass(frozen=True)
class Row:
    """A row, whose first cell is its header. strong: the row that others are compared with."""

    cells: Sequence[Cell]
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table. name: its accessible name. columns: (header, whether it holds numbers)."""

    kind: ClassVar[str] = "table"
    name: str
    caption: str
    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Row]
    provenance: Provenance | None = None


@dataclass(frozen=True)
class Origin:
    """The runs behind one row: (which one, key, epoch reported), and the command to train them."""

    name: str
    runs: Sequence[tuple[str, str, int]]
    command: str


@dataclass(frozen=True)
class Provenance:
    """The runs behind some numbers of a data set.

    what: the numbers, for screen readers; a table uses its own name.
    """

    kind: ClassVar[str] = "provenance"
    dataset: str
    rows: Sequence[Origin]
    what: str = ""


@dataclass(frozen=True)
class ClipCard:
    """One test clip and its prediction.

    second: the second most probable class with its probability. picture: data URL of the frames, or
    None.
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
class ClipGrid:
    """Clips in a grid."""

    kind: ClassVar[str] = "clip_grid"
    clips: Sequence[ClipCard]


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    blocks: Sequence[object] = field(default_factory=tuple)
