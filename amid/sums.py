"""The sha256 of artefacts in a file `sums.json` beside them: written when they are made, compared
before they are used. A flipped bit is then one sentence, not a number in a table."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from amid.checkpoint import write_atomic
from amid.errors import AmidError
from amid.reproducible import sha256_file

SUMS = "sums.json"


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal sha256 of what a file is about to hold."""
    return hashlib.sha256(data).hexdigest()


def sum_files(folder: Path, *names: str) -> None:
    """Writes the sums of the files `names` of a folder, beside those it has of other files."""
    write_sums(folder, {name: sha256_file(folder / name) for name in names})


def write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Adds {name: hexadecimal sha256} to a folder's sums; sorted, so that the bytes depend on the
    files alone."""
    text = json.dumps({**_recorded(folder), **sums}, indent=1, sort_keys=True)
    write_atomic(folder / SUMS, f"{text}\n".encode())


def check_sum(path: Path) -> None:
    """Raises AmidError where a file is not what was written, or nothing tells what was.

    A file that has not been touched since is read once a process (forked workers inherit that).
    """
    recorded = _recorded(path.parent).get(path.name)
    if recorded is None:
        raise AmidError(
            f"{path.parent / SUMS} is damaged or lacks the sha256 of {path.name}, so that nobody "
            f"can say whether that is whole: delete {path.parent} and run `dvc repro`, which "
            "restores it from DVC's cache or makes it again."
        )
    if recorded != sum_of(path):
        raise AmidError(
            f"{path} is damaged: its sha256 is not the one in {SUMS} beside it; delete the file "
            "and run `dvc repro`, which restores it from DVC's cache or makes it again."
        )


def sum_of(path: Path) -> str:
    """The sha256 of a file, which is read once a process unless it is touched."""
    return _sum_at(path, *_state(path))


def matches(data: bytes, path: Path) -> bool:
    """Whether `data`, read from `path`, is what was written there."""
    return _recorded(path.parent).get(path.name) == sha256_bytes(data)


def forget() -> None:
    """Files are read again, as in a new process."""
    _sum_at.cache_clear()


def _recorded(folder: Path) -> dict[str, str]:
    """What a folder's sums say; nothing where there are none or they are damaged."""
    try:
        sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return sums if isinstance(sums, dict) else {}


def _state(path: Path) -> tuple[int, ...]:
    """What changes when a file is written: two states that are equal need one reading."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise AmidError(f"{path} is missing: run `dvc repro`.") from None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=4096)
def _sum_at(path: Path, *state: int) -> str:
    return sha256_file(path)
