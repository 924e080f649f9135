"""The sentences of GRID: the words that a name spells, and their times in the alignment files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from amid.errors import AmidError
from amid.media import Reason

SILENCE = frozenset({"sil", "sp"})
# One word a character of a name: command, colour, preposition, letter, digit, adverb.
GRAMMAR: tuple[dict[str, str], ...] = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},  # w takes too long to say
    dict(
        zip(
            "z123456789",
            ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
            strict=True,
        )
    ),
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
CLASSES = tuple(sorted({word for words in GRAMMAR for word in words.values()}))  # 51


def spoken(name: str) -> tuple[str, ...] | None:
    """The six words that a sentence's name spells, None for a name outside the grammar."""
    if len(name) != len(GRAMMAR) or any(
        c not in words for c, words in zip(name, GRAMMAR, strict=True)
    ):
        return None
    return tuple(words[c] for c, words in zip(name, GRAMMAR, strict=True))


def word_times(text: str) -> list[tuple[int, int, str]]:
    """(start, end, word) of an alignment file in its own units, silences left out.

    Raises ValueError, saying where, for a line that is not `start end word`, or times that do not
    run forward.
    """
    times = []
    last = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match = re.fullmatch(r"\s*(\d{1,9})\s+(\d{1,9})\s+(\S+)\s*", line, flags=re.ASCII)
        if match is None:
            raise ValueError(f"line {number} is not 'start end word'")
        start, end = int(match[1]), int(match[2])
        is_silent = match[3] in SILENCE
        if start < last or end < start or (end == start and not is_silent):
            raise ValueError(f"the times of line {number} do not run forward")
        last = end
        if not is_silent:
            times.append((start, end, match[3]))
    return times


@dataclass(frozen=True)
class Sentence:
    """One sentence of a talker: the times of its words, or the reason why it is excluded."""

    talker: str
    name: str
    times: tuple[tuple[int, int, str], ...] = ()
    modality: str = ""
    reason: str | None = None
    detail: str = ""

    @property
    def ids(self) -> list[str]:
        """The names of the clips, one per word; a name outside the grammar is a single clip."""
        stem = f"{self.talker}-{self.name}"
        words = spoken(self.name)
        return [stem] if words is None else [f"{stem}-{i}-{word}" for i, word in enumerate(words)]


def sentences_of(talker: str, folder: Path) -> list[Sentence]:
    """All sentences of a talker that have a video or an alignment, sorted by name."""
    raw = folder / "raw"
    if not (raw / talker).is_dir():
        raise AmidError(f"{raw} lacks the videos of talker {talker}: run the download stage first.")
    videos = {path.stem for path in (raw / talker).glob("*.mpg")}
    aligned = {path.stem for path in (raw / "alignments" / talker).glob("*.align")}
    return [
        _sentence(talker, name, raw, has_video=name in videos, has_alignment=name in aligned)
        for name in sorted(videos | aligned)
    ]


def _sentence(
    talker: str, name: str, raw: Path, *, has_video: bool, has_alignment: bool
) -> Sentence:
    def aside(modality: str, reason: str, detail: str) -> Sentence:
        return Sentence(talker, name, (), modality, str(reason), detail)

    words = spoken(name)
    if words is None:
        return aside("alignment", Reason.bad_alignment, "the file's name is no GRID sentence")
    if not has_video:
        return aside("video", Reason.missing_file, f"no raw/{talker}/{name}.mpg for its alignment")
    if not has_alignment:
        return aside("alignment", Reason.missing_file, f"no raw/alignments/{talker}/{name}.align")
    content = (raw / "alignments" / talker / f"{name}.align").read_bytes()
    if not content.strip():
        return aside("alignment", Reason.empty_file, "the alignment is empty")
    try:
        times = word_times(content.decode("ascii"))
    except UnicodeDecodeError:
        return aside("alignment", Reason.bad_alignment, "the alignment is no plain text")
    except ValueError as error:
        return aside("alignment", Reason.bad_alignment, str(error))
    heard = [word for _, _, word in times]
    if heard != list(words):
        found = ascii(" ".join(heard))[:60] if heard else "no word"
        detail = f"the name says '{' '.join(words)}', the alignment {found}"
        return aside("alignment", Reason.bad_alignment, detail)
    return Sentence(talker, name, tuple(times))
