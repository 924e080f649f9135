"""Processes that depend on one another: children that die with their parent, one holder of a name,
and who of those that a file names is still alive."""

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
    """Ties this process's life to that of `parent`, its parent's pid: one killed with -9 leaves no
    child behind. Call it first in the child; on Linux alone does it more than look once."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


@contextmanager
def only_copy(name: str, folder: Path) -> Iterator[None]:
    """Holds `name` for this process; AmidError tells which one has it. The lock, on a file in
    `folder` that holds the pid, goes with the process, however that ends."""
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
