"""What a file is, by its size and sums, and what it should be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 16  # bytes read at once


@dataclass(frozen=True)
class Measure:
    size: int
    sha256: str


def measure(path: Path) -> Measure:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Measure(file.tell(), digest)


def fault_of(actual: Measure, sha256: str | None, size: int | None) -> str | None:
    """How a file differs from what was demanded, in words; None if it does not."""
    if size is not None and actual.size != size:
        return f"has the wrong size (expected {size} bytes, got {actual.size})"
    if sha256 is not None and actual.sha256 != sha256.lower():
        return f"has the wrong sha256 (expected {sha256.lower()}, got {actual.sha256})"
    return None


def md5_fault(path: Path, md5: str | None) -> str | None:
    """The same for the MD5 that some servers announce (Zenodo's ETag)."""
    if md5 is None:
        return None
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return None if actual == md5 else f"has another md5 ({actual}) than the server says ({md5})"
