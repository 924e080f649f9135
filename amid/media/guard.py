"""Process files in child processes, with limits of time and memory per file.

A decoder may hang, crash the interpreter or allocate all memory. A child works on one file at a
time, so that the culprit is known: it gets a MediaError, and all other files their results.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.pool import ExceptionWithTraceback
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from amid.errors import AmidError
from amid.media import MediaError, Reason

# Children are copies of a server without threads that has the slow imports behind it: the caller
# may have threads already (Arrow's, MLflow's), whose locks a fork of it would find held for ever.
CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
PRELOADED = ["amid.core.reproducible", "amid.data.decoding", "amid.media.film", "scipy.sparse"]
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
# Bytes of a task that is given while the child works on another one: so much fits into the pipe. A
# larger one would wait there for the child, and the child with its answer for whoever writes it.
AHEAD = 16 << 10
SHORT = ("allocate memory", "Insufficient memory")  # PyTorch's words, and OpenCV's

Task = TypeVar("Task")
Result = TypeVar("Result")


class Limits(NamedTuple):
    """Limits per file. seconds: wall time for all of its spans. memory: bytes of the child's heap
    (Linux only)."""

    seconds: float = 600.0
    memory: int = 4 << 30


LIMITS = Limits()


def guarded(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    names: Sequence[str],
    *,
    workers: int,
    limits: Limits = LIMITS,
) -> Iterator[Result | MediaError]:
    """Apply `function` to each task in `workers` child processes; yields the results in order.

    names: of the tasks' files, for messages. A file on which a child dies or exceeds a limit is
    tried once more, in a new child and with no other running, since its neighbours may have used up
    the resources. If that fails too, it yields a MediaError: crashed, timeout or memory. An
    AmidError of `function` is raised here; any other exception counts as a crash. A script needs
    `if __name__ == "__main__"` only if `function` is defined in it.
    """
    todo = deque(range(len(tasks)))
    again: deque[int] = deque()  # tasks that failed once and wait to be alone
    suspects: set[int] = set()
    found: dict[int, Result | MediaError] = {}
    children: list[_Child] = []
    due = 0  # the next task to be yielded

    def feed() -> None:
        """Give a task to each idle child, then a next one to each busy child, so that none waits
        for this process; nothing while a file is tried alone."""
        if again or suspects & {child.task for child in children}:
            return
        idle = [child for child in children if not child.busy]
        while todo and (idle or len(children) < max(workers, 1)):
            if not idle:
                idle.append(_Child(function, limits))
                children.extend(idle)
            idle.pop().give(todo.popleft(), tasks)
        for child in children:
            if todo and len(child.tasks) == 1 and child.give(todo[0], tasks, most=AHEAD):
                todo.popleft()

    try:
        while due < len(tasks):
            if again and not any(child.busy for child in children):
                for child in children:
                    child.end()
                children = [_Child(function, limits)]
                children[0].give(again.popleft(), tasks)
            else:
                feed()
            for child in _ready([child for child in children if child.busy]):
                number = child.task
                answer = child.answer()
                if not isinstance(answer, _Lost):
                    found[number] = answer
                    feed()  # before anybody looks at the answer, which takes its time
                    continue
                child.end()
                children.remove(child)
                todo.extendleft(reversed(child.tasks))  # what it had not begun
                if number in suspects:
                    detail = f"{names[number]}: {answer.detail}"
                    found[number] = MediaError(answer.reason, detail)
                else:
                    suspects.add(number)
                    again.append(number)
            while due in found:
                yield found.pop(due)
                due += 1
    finally:
        for child in children:
            child.end()


class _Crash(Exception):
    """An unexpected exception of a decoder, as text: the exception itself may not be picklable."""


class _Lost(NamedTuple):
    """Why a task has no result."""

    reason: Reason
    detail: str


class _Child:
    """A child process and the numbers of its tasks: the current one and the next."""

    def __init__(self, function: Callable[[Any], Any], limits: Limits) -> None:
        CONTEXT.set_forkserver_preload(PRELOADED)
        self.limits = limits
        self.pipe, end = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=_serve, args=(end, function, limits), daemon=True)
        with _without_main(function):
            self.process.start()
        end.close()
        try:
            self.pipe.recv()
        except EOFError:
            raise AmidError(
                "The process that decodes files could not be started: its own message is above."
            ) from None
        self.tasks: deque[int] = deque()
        self.deadline = math.inf

    @property
    def busy(self) -> bool:
        return bool(self.tasks)

    @property
    def task(self) -> int | None:
        """The number of the current task."""
        return self.tasks[0] if self.tasks else None

    def give(self, number: int, tasks: Sequence[Any], most: int | None = None) -> bool:
        """Send a task to the child; False, and nothing sent, if it is above `most` bytes."""
        data = ForkingPickler.dumps(tasks[number])
        if most is not None and len(data) > most:
            return False
        with contextlib.suppress(BrokenPipeError):  # it died while idle: `answer` will tell
            self.pipe.send_bytes(data)
        if not self.tasks:
            self.deadline = time.monotonic() + self.limits.seconds
        self.tasks.append(number)
        return True

    def answer(self) -> Any:
        """The result of the current task, or a _Lost; raises what the task raised."""
        self.tasks.popleft()
        self.deadline = time.monotonic() + self.limits.seconds  # of the next one, if it has one
        if not self.pipe.poll():
            return _Lost(Reason.timeout, f"not decoded within {self.limits.seconds:g} s")
        try:
            result, error = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            return _death(self.process.exitcode)
        if isinstance(error, MemoryError):
            return _Lost(Reason.memory, f"decoding takes more than {self.limits.memory >> 20} MiB")
        if isinstance(error, _Crash):
            return _Lost(Reason.crashed, f"decoding ends in {error}")
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


@contextlib.contextmanager
def _without_main(function: Callable[..., Any]) -> Iterator[None]:
    """Start children without the caller's main module, unless `function` is defined in it.

    They would import it first: that of a stage takes half a second, that of ray 1.5 s, and a script
    without `if __name__ == "__main__"` would run again.
    """
    main = sys.modules["__main__"]
    if function.__module__ != "__main__":
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _ready(busy: list[_Child]) -> list[_Child]:
    """The children that answered, died or exceeded their time; waits for the first."""
    deadline = min(child.deadline for child in busy)
    timeout = None if math.isinf(deadline) else max(deadline - time.monotonic(), 0.0)
    answered = wait([child.pipe for child in busy], timeout)
    now = time.monotonic()
    return [child for child in busy if child.pipe in answered or child.deadline <= now]


def _death(code: int) -> _Lost:
    if code == -signal.SIGKILL:  # nobody else does it
        return _Lost(Reason.memory, "the system killed its process for want of memory")
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return _Lost(Reason.crashed, f"decoding ends its process: {how}")


def keep_memory() -> None:
    """Make glibc keep freed memory of small pictures instead of returning it to the system and
    asking for it again, which takes a tenth of the decoding time."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # another library of C has no such call
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 1 << 20)
        mallopt(M_TRIM_THRESHOLD, 16 << 20)


def _serve(pipe: Connection, function: Callable[[Any], Any], limits: Limits) -> None:
    """The loop of a child: sends (result, None) or (None, exception) for each task."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    if sys.platform == "linux":
        import fcntl
        import resource

        # A pipe that closes when the caller dies: then SIGIO ends this process, even if it hangs.
        alive = multiprocessing.parent_process().sentinel
        fcntl.fcntl(alive, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(alive, fcntl.F_SETFL, fcntl.fcntl(alive, fcntl.F_GETFL) | os.O_ASYNC)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        keep_memory()
        resource.setrlimit(resource.RLIMIT_DATA, (limits.memory, limits.memory))
    pipe.send(None)  # ready: only now a task's time begins
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            answer = function(task), None
        except MemoryError:
            answer = None, MemoryError()
        except Exception as error:
            short = any(words in str(error) for words in SHORT)
            if isinstance(error, AmidError):  # nothing wrong with the file
                answer = None, ExceptionWithTraceback(error, error.__traceback__)
            else:
                words = f"{type(error).__name__}: {error}"
                answer = None, MemoryError() if short else _Crash(words)
        pipe.send(answer)
