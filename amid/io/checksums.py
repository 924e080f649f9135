"""sha256 checksums of files, kept in a `sums.json` beside them.

They are recorded when a file is written and verified before it is used, so that a flipped bit is
an error and not a wrong number in a table.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from amid.errors import AmidError
from amid.io.atomic import write_atomic

SUMS = "sums.json"


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal sha256 of bytes, such as those about to be written."""
    return hashlib.sha256(data).hexdigest()


def record_checksums(folder: Path, *names: str) -> None:
    """Record the checksums of the files `names` of a folder; those of other files stay."""
    write_checksums(folder, {name: sha256_file(folder / name) for name in names})


def write_checksums(folder: Path, sums: Mapping[str, str]) -> None:
    """Add {name: hexadecimal sha256} to the checksums of a folder. The file is sorted, so its bytes
    depend on the files alone."""
    text = json.dumps({**_recorded(folder), **sums}, indent=1, sort_keys=True)
    write_atomic(folder / SUMS, f"{text}\n".encode())


def verify(path: Path) -> None:
    """Raise AmidError if a file differs from its recorded checksum, or has none.

    A file that does not change is read once per process (forked workers inherit the result).
    """
    recorded = _recorded(path.parent).get(path.name)
    if recorded is None:
        raise AmidError(
            f"{path.parent / SUMS} is damaged or lacks the sha256 of {path.name}, so that nobody "
            f"can say whether that is whole: delete {path.parent} and run `dvc repro`, which "
            "restores it from DVC's cache or makes it again."
        )
    if recorded != cached_sha256(path):
        raise AmidError(
            f"{path} is damaged: its sha256 is not the one in {SUMS} beside it; delete the file "
            "and run `dvc repro`, which restores it from DVC's cache or makes it again."
        )


def cached_sha256(path: Path) -> str:
    """The sha256 of a file, which is read once per process unless it changes."""
    return _sum_at(path, *_state(path))


def matches(data: bytes, path: Path) -> bool:
    """Whether `data`, read from `path`, has the recorded checksum."""
    return _recorded(path.parent).get(path.name) == sha256_bytes(data)


def clear_cache() -> None:
    """Forget all checksums, so that files are read again as in a new process."""
    _sum_at.cache_clear()


def _recorded(folder: Path) -> dict[str, str]:
    """The recorded checksums of a folder; empty if there are none or they are damaged."""
    try:
        sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return sums if isinstance(sums, dict) else {}


def _state(path: Path) -> tuple[int, ...]:
    """Identity, size and times of a file: while they are equal, it need not be read again."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise AmidError(f"{path} is missing: run `dvc repro`.") from None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=4096)
def _sum_at(path: Path, *state: int) -> str:
    return sha256_file(path)
