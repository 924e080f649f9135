"""What every stage shares: where things lie, and errors as one sentence."""

from __future__ import annotations

import inspect
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from amid.errors import AmidError, storage_error
from amid.io.project import project_home
from amid.io.redact import redact

PARAMS = Path("params.yaml")
# A queued experiment works in a copy; runs and MLflow stay with the repository itself.
HOME = project_home()
# Beside the outs, and of this working directory: two experiments may run the same stage.
LOCKS = Path(".runs") / "locks"
SHARDS = Path(".runs") / "shards"
ARCHIVES = HOME / ".archives"
RUNS = Path("runs")
STUDENTS = Path("student")
REPORTS = Path("reports")


def data_folder(dataset: str) -> Path:
    return Path("data") / dataset


def run_stage(main: Callable[..., None]) -> None:
    """`run_command`, one copy of a stage at a time: two would mix their files in the outs."""
    from amid.io.processes import only_copy

    run_command(main, only_copy("@".join([_command(), *sys.argv[1:]]), LOCKS))


def run_command(
    main: Callable[..., None], within: AbstractContextManager[None] | None = None
) -> None:
    """Runs `main` on the command line's words; a user's mistake ends in one sentence on stderr.

    Neither that nor the traceback of another error shows passwords or tokens.
    """
    words = inspect.signature(main).parameters
    needed = [word for word, about in words.items() if about.default is about.empty]
    shown = [w.upper() if w in needed else f"[{w.upper()}]" for w in words]
    usage = " ".join([f"usage: python -m stages.{_command()}", *shown])
    if sys.argv[1:] in (["--help"], ["-h"]):
        print(f"{usage}\n\n{inspect.getdoc(inspect.getmodule(main))}")
        sys.exit()
    if not len(needed) <= len(sys.argv) - 1 <= len(words):
        sys.exit(usage)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        with within or nullcontext():
            main(*sys.argv[1:])
        sys.stdout.flush()
    except Terminated:
        sys.exit(143)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            sys.exit(141)  # as a program that SIGPIPE ends: `... | head` is no error
        told = error if isinstance(error, AmidError) else storage_error(error, HOME)
        if told is None:
            sys.exit(redact(traceback.format_exc()))
        print(redact(f"error: {told}"), file=sys.stderr)
        sys.exit(told.exit_code)


class Terminated(KeyboardInterrupt):
    """The stage was asked to end, by SIGTERM."""


def _terminated(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise Terminated


def _reader_left() -> bool:
    """Whether nobody reads the standard output any more; it then goes nowhere."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _command() -> str:
    return Path(sys.argv[0]).stem
