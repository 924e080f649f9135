"""Child processes that die with their parent, a lock per stage, and the number of cores."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amid.errors import AmidError


def die_with_parent(parent: int) -> None:
    """Make this process die when `parent`, the pid of its parent, dies, even by `kill -9`.

    Call it first in the child. On systems other than Linux it only checks once.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


@contextmanager
def only_copy(name: str, folder: Path) -> Iterator[None]:
    """Hold the lock `name` within the block. Raises AmidError, with the pid, if another process
    holds it. The lock, on a file in `folder`, is released however this process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace(os.sep, '-')}.lock"
    with path.open("a+") as file:  # leaves in it whose it is
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AmidError(
                f"{name} is being run by process {file.read().strip()} already: wait for it, or "
                "stop it (`python -m stages.repair` ends one whose dvc is dead)."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def available_cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
