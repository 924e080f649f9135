"""What may go wrong through the user's input or the data, as one sentence each."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

# Installs the packages that only other executors and stores need.
INSTALL_SCALE = "pip install -r requirements-scale.txt -c constraints.txt"

# What a disk or a folder refuses; sqlite says it in words only.
_REFUSED = {
    errno.ENOSPC: "no room is left on the disk",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EFBIG: "the file would be larger than is allowed here",
    errno.EIO: "no room is left on the disk, or it is failing",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "this user has no access",
    errno.EPERM: "this user has no access",
    errno.ENOTDIR: "a file lies where a folder has to be",
    errno.EEXIST: "a file lies where a folder has to be",
}
_REFUSED_BY_SQLITE = {
    "database or disk is full": errno.ENOSPC,
    "disk I/O error": errno.EIO,  # also of a store whose journal found no room
    "readonly database": errno.EROFS,
    "unable to open database file": errno.EACCES,
}


class AmidError(Exception):
    """A mistake in the input or the data; its message tells what, where and what to do."""

    exit_code = 1


class ConfigError(AmidError):
    """A mistake in params.yaml or another file of numbers; the message names file and key."""

    exit_code = 2


class Stopped(Exception):
    """A run was told to stop, and did so at a place from which it goes on."""


class StorageError(AmidError):
    """A disk is full, or a folder cannot be written to."""


def storage_error(error: BaseException, place: Path) -> StorageError | None:
    """The sentence for what a disk or a folder refused; None for an error of another kind.

    place: what is named where the error names no file, as one from writing to an open file does.
    """
    number = error.errno if isinstance(error, OSError) else None
    for words, meant in _REFUSED_BY_SQLITE.items():
        if number is None and words in str(error):
            number = meant
    if number not in _REFUSED:
        return None
    name = getattr(error, "filename", None)
    path = Path(name) if isinstance(name, str) else place
    there = path.absolute()
    while not there.is_dir():
        there = there.parent
    free = shutil.disk_usage(there).free / 1e6
    return StorageError(
        f"{path} cannot be used: {_REFUSED[number]} ({free:.1f} MB free in {there}); what was "
        "complete is kept: make room or give access, then run the same command again."
    )
