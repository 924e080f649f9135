"""Unpack zip and tar archives safely: only regular files, only below the target.

Archives are untrusted input: names, links and sizes are checked before the first byte is written,
and one bad entry rejects the whole archive. The target appears by a rename at the end, so a killed
unpacking is never taken for a complete one.
"""

from __future__ import annotations

import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from amid.errors import AmidError
from amid.io.atomic import replace_dir

CHUNK = 1 << 20  # bytes copied at once
MOST_PADDING = 64 * CHUNK  # bytes after the end mark of a tar archive
LONGEST_PART = 255  # bytes of a name between two slashes, the limit of usual file systems
MOST_PARTS = 64  # names within names; pathlib and shutil call themselves once for each
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,  # zipfile's, of a way of packing that it does not know
    ValueError,
)
Place = Callable[[str], str | None]


@dataclass(frozen=True)
class Limits:
    """What an archive may hold: entries (also folders and unwanted ones), and unpacked bytes."""

    entries: int = 200_000
    size: int = 32 * 2**30


@dataclass(frozen=True)
class _Entry:
    """A regular file of an archive. name: as archived, without `.` and empty parts."""

    name: str
    size: int
    source: zipfile.ZipInfo | tarfile.TarInfo


def listing(archive: Path, limits: Limits | None = None) -> list[str]:
    """The sorted names of the regular files in an archive, checked as by `unpack`."""
    with _opened(archive) as opened:
        return sorted(entry.name for entry in _entries(archive, opened, limits or Limits()))


def unpack(
    archive: Path,
    target: Path,
    *,
    place: Place = str,
    limits: Limits | None = None,
) -> list[str]:
    """Unpack a zip or tar archive as folder `target`, which is replaced when it exists.

    `place` maps the name of an entry to its path below the target, or to None to leave it out.
    Returns the sorted paths written, relative to the target, with `/`.

    Raises AmidError, with nothing written and `target` as before, for a damaged or encrypted
    archive; for names that are absolute, climb with `..`, carry a drive letter, a backslash or
    anything unprintable, or are too long or deep; for links, devices and every other entry that is
    neither file nor folder; for two entries in one place; for more entries or bytes than `limits`.
    """
    with (
        replace_dir(target, f"{archive.name} could not be unpacked to {target}") as part,
        _opened(archive) as opened,
    ):
        placed = _placed(archive, _entries(archive, opened, limits or Limits()), place)
        for path, entry in placed:
            _write(opened, entry, part / path)
    return sorted(path for path, _ in placed)


# ------------------------------------------------------------------------------- the checks


def _refusal(archive: Path, name: str, what: str) -> AmidError:
    return AmidError(
        f"{archive.name} is refused, nothing was unpacked: its entry {ascii(name)[:120]} {what}; "
        "get the archive from a source you trust."
    )


def _entries(
    archive: Path, opened: zipfile.ZipFile | tarfile.TarFile, limits: Limits
) -> list[_Entry]:
    """The regular files of an archive, in its order. Raises AmidError for any bad entry."""
    files: list[_Entry] = []
    total = 0
    for number, (raw, size, kind, source) in enumerate(_headers(archive, opened), start=1):
        name = _checked_name(archive, raw)
        if kind == "other":
            raise _refusal(archive, raw, "is a link, a device or no file at all")
        total += size
        if number > limits.entries or total > limits.size:
            raise AmidError(
                f"{archive.name} is refused, nothing was unpacked: it holds more than "
                f"{limits.entries} entries or {limits.size} bytes; check that it is the right file."
            )
        if kind == "file":
            files.append(_Entry(name, size, source))
    return files


def _headers(
    archive: Path, opened: zipfile.ZipFile | tarfile.TarFile
) -> Iterator[tuple[str, int, str, zipfile.ZipInfo | tarfile.TarInfo]]:
    """(name as archived, bytes, "file" | "folder" | "other", header) of each entry."""
    if isinstance(opened, zipfile.ZipFile):
        for info in opened.infolist():
            # `filename` ends before a NUL, the original name does not.
            name = info.orig_filename
            if info.flag_bits & 1:
                raise _refusal(archive, name, "is encrypted")
            mode = stat.S_IFMT(info.external_attr >> 16)
            is_folder = name.endswith("/")
            if mode not in (0, stat.S_IFDIR if is_folder else stat.S_IFREG):
                yield name, 0, "other", info
            else:
                yield name, info.file_size, "folder" if is_folder else "file", info
        return
    for member in opened:
        kind = "file" if member.isreg() else "folder" if member.isdir() else "other"
        yield member.name, member.size, kind, member
    _check_end(opened)


def _check_end(opened: tarfile.TarFile) -> None:
    """Find damage that tarfile ignores, once the last entry has been read.

    It takes a file cut between two entries for a whole one, though the end has its own mark, and
    it stops at that mark, ahead of the sum that gzip keeps at the end of the file.
    """
    opened.fileobj.seek(opened.offset)
    if opened.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("the mark at the end is missing")
    for _ in range(MOST_PADDING // CHUNK):
        if not opened.fileobj.read(CHUNK):
            return
    raise tarfile.ReadError("too much follows the mark at the end")


def _checked_name(archive: Path, raw: str) -> str:
    """The name without `.` and empty parts. Raises AmidError if it could leave the target."""
    if not raw.isprintable():
        raise _refusal(archive, raw, "has unprintable characters in its name")
    if raw.startswith("/") or "\\" in raw or re.match(r"[A-Za-z]:", raw):
        raise _refusal(archive, raw, "has an absolute path, a drive letter or a backslash")
    parts = [part for part in raw.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _refusal(archive, raw, "climbs out of its folder")
    if len(parts) > MOST_PARTS or any(len(part.encode()) > LONGEST_PART for part in parts):
        raise _refusal(archive, raw, "has too long a name")
    return "/".join(parts)


def _placed(archive: Path, entries: Iterable[_Entry], place: Place) -> list[tuple[str, _Entry]]:
    """The wanted entries with their paths below the target. Raises AmidError where two collide."""
    placed: dict[str, _Entry] = {}
    for entry in entries:
        path = place(entry.name)
        if path is None:
            continue
        path = _checked_name(archive, path)
        if path == "" or path in placed:
            raise _refusal(archive, entry.name, "is there twice, or has no name")
        placed[path] = entry
    for path, entry in placed.items():
        if any(str(parent) in placed for parent in PurePosixPath(path).parents):
            raise _refusal(archive, entry.name, "lies below another file")
    return list(placed.items())


# ------------------------------------------------------------------------------ the reading


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile | tarfile.TarFile]:
    """Open an archive, zip or tar by its first bytes; damage within the block raises AmidError."""
    try:
        with archive.open("rb") as file:
            is_zip = file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
        with zipfile.ZipFile(archive) if is_zip else tarfile.open(archive) as opened:
            yield opened
    except DAMAGE as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno is None:  # gzip and bz2 report wrong bytes so
            raise _damaged(archive, error) from error
        raise


def _damaged(archive: Path, error: Exception) -> AmidError:
    return AmidError(
        f"{archive.name} is damaged or is neither a zip nor a tar archive "
        f"({ascii(str(error))[1:-1][:120] or type(error).__name__}): "
        "get it again and put the new file in its place."
    )


def _write(opened: zipfile.ZipFile | tarfile.TarFile, entry: _Entry, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    source: IO[bytes] | None
    if isinstance(opened, zipfile.ZipFile):
        source = opened.open(entry.source)
    else:
        source = opened.extractfile(entry.source)
    with source, path.open("xb") as file:
        # Never more than the header promised, which is what the limits were held against.
        left = entry.size
        while chunk := source.read(min(CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                break
            file.write(chunk)
    if left != 0:
        raise EOFError(f"{entry.name} has another size than its header says")
