"""Files and folders that are replaced as a whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amid.errors import AmidError, storage_error


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path`; a kill or a full disk leaves either the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replace_dir(target: Path, failure: str | None = None) -> Iterator[Path]:
    """Yield an empty folder that replaces `target` when the block ends.

    After an error in the block `target` is as it was, and the new folder is gone. An OSError, of
    the block or of the replacement, becomes an AmidError that begins with `failure`; without
    `failure` it is a StorageError where the disk is full or the folder cannot be written to.
    """
    part = target.with_name(f".{target.name}.partial")
    former = target.with_name(f".{target.name}.former")
    try:
        remove(part)
        part.mkdir(parents=True)
        yield part
        remove(former)
        if os.path.lexists(target):
            target.rename(former)
        part.rename(target)
        remove(former)
    except OSError as error:
        told = None if failure else storage_error(error, target)
        raise told or AmidError(
            f"{failure or f'{target} could not be written'}: {error.strerror or error}; free some "
            "space or fix the folder, then run again."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; nothing to do where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
