"""Which clips are to be predicted: files, folders, patterns, and a manifest's rows."""

from __future__ import annotations

import csv
import glob
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from amid.errors import AmidError
from amid.media.container import NAMED

PATTERN = "*?["  # what makes a name that is no file's a pattern
# Files that a folder is searched for, by the extractor that the student reads them with.
FEATURES, TEXTS = (".npy",), (".txt",)
MEDIA = (*NAMED, ".m4a", ".aac", ".ogg", ".opus", ".ogv", ".ts", ".mts", ".3gp")
KINDS = {"features": FEATURES, "ngrams": TEXTS, "bert": TEXTS}


class Given(NamedTuple):
    """A clip to predict: its file, and seconds of it, NaN for the file's own start or end.

    id: of a manifest's row, else empty.
    """

    path: str
    start: float = math.nan
    end: float = math.nan
    id: str = ""


def find_clips(words: Sequence[str], extractor: str, start: float, end: float) -> list[Given]:
    """The files that words name: each a file, a folder (all files below it that the extractor can
    read by their names, hidden ones left out) or a pattern such as `films/*.mp4`, sorted.

    A file that does not exist is returned, and has a `problem` when it is predicted. AmidError for
    a folder or pattern without a file.
    """
    return [Given(path, start, end) for word in words for path in _named(word, extractor)]


def _named(word: str, extractor: str) -> list[str]:
    path = Path(word)
    if path.is_dir():
        kinds = KINDS.get(extractor, MEDIA)
        below = (part for part in path.rglob("*") if part.suffix.lower() in kinds)
        found = [part for part in below if part.is_file() and not _hidden(part, path)]
        if not found:
            known = ", ".join(sorted(kinds))
            raise AmidError(
                f"The folder {word} holds no file that ends in {known}: name the files."
            )
        return sorted(map(str, found))
    if not path.exists() and set(word) & set(PATTERN):
        matched = sorted(name for name in glob.glob(word, recursive=True) if Path(name).is_file())
        if not matched:
            raise AmidError(f"No file matches {word}: correct the pattern.")
        return matched
    return [word]


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def read_list(path: Path, target: str, start: float, end: float) -> list[Given]:
    """The clips of a manifest (.csv, .tsv or .parquet): column `<target>` or `path` with the files,
    relative to the manifest's folder; optionally `<target>_start`, `<target>_end` (or `start`,
    `end`) in seconds, and `id`. Rows without a file are left out. `start` and `end` hold where the
    row leaves them empty.

    AmidError for a manifest that cannot be read, without such a column, or with a time that is no
    number of seconds.
    """
    found = []
    for number, row in enumerate(_rows(path), start=1):
        place = next((name for name in (target, f"{target}_path", "path") if name in row), None)
        if place is None:
            raise AmidError(
                f"{path} has no column '{target}' or 'path' with the files: it has "
                f"{', '.join(row) or 'none'}."
            )
        if not _text(row[place]):
            continue
        times = [
            _seconds(row.get(f"{target}_{name}", row.get(name)), default, f"{path}, row {number}")
            for name, default in (("start", start), ("end", end))
        ]
        found.append(Given(str(path.parent / _text(row[place])), *times, _text(row.get("id"))))
    if not found:
        raise AmidError(f"{path} names no clip: fill in its column '{target}' or 'path'.")
    return found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            import pandas as pd

            yield from pd.read_parquet(path).reset_index().to_dict("records")
            return
        if kind not in (".csv", ".tsv"):
            raise AmidError(f"{path} is no manifest: name a .csv, .tsv or .parquet file.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            tabs = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if kind == ".tsv" else {}
            yield from csv.DictReader(file, restkey="", **tabs)
    except (OSError, ValueError, csv.Error) as error:
        raise AmidError(f"{path} cannot be read as a manifest ({error}): correct it.") from None


def _text(value: Any) -> str:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if missing else str(value).strip()


def _seconds(value: Any, default: float, where: str) -> float:
    text = _text(value)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise AmidError(f"{where}: {text!r} is no number of seconds from 0 up.")
    return seconds
