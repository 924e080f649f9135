"""What tests of several files use and none changes, made once for all workers of a session."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

VARIABLE = "AMID_TESTS_SESSION"  # its folder, and the process that removes it; workers inherit it
HERE = hashlib.sha256(__file__.encode()).hexdigest()[:8]  # tests that test a copy of the project


def begin() -> bool:
    """Makes the folder of a session; False within one."""
    if VARIABLE in os.environ:
        return False
    os.environ[VARIABLE] = f"{tempfile.mkdtemp(prefix='amid-tests-')}:{os.getpid()}"
    return True


def end() -> None:
    """What `begin` made goes with the session."""
    shutil.rmtree(folder(), ignore_errors=True)
    del os.environ[VARIABLE]


def folder() -> Path:
    return Path(os.environ[VARIABLE].rpartition(":")[0])


def leader() -> int:
    """The process that ends the session."""
    return int(os.environ[VARIABLE].rpartition(":")[2])


def once(name: str, make: Callable[[Path], None], *, of_copies: bool = False) -> Path:
    """The file or folder that `make` has written to the path it is given: by this call, or by an
    earlier one of the session. It is not to be changed.

    of_copies: also what a session within this one uses, on a copy of the project.
    """
    if begin():  # outside a session of pytest: a campaign, say
        atexit.register(end)
    path = folder() / (name if of_copies else f"{HERE}-{name}")
    with FileLock(f"{path}.lock"):
        if not path.exists():
            made = path.with_name(f"{path.name}.new")
            shutil.rmtree(made, ignore_errors=True)
            make(made)
            made.rename(path)
    return path
