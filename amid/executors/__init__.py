"""Executors run jobs: one interface, three implementations, chosen by the environment.

A *job* is a module-level function of amid and one small argument that can be pickled, such as a
frozen dataclass. It is idempotent and named by the hash of its specification: done twice it gives
the same bytes, and its result lands whole in a store. So an executor may repeat, move or lose jobs,
and no out depends on which executor, or how many workers, did them.

    with executor_from_env(os.environ).pool(workers, jobs=len(jobs)) as pool:
        futures = [pool.submit(function, job) for job in jobs]

Futures are those of concurrent.futures. They raise what the job raised, among that AmidError and
Stopped, and WorkerLost when whoever did it is gone for good. A pool that is left by an exception
stops its workers: by KeyboardInterrupt they have STOP_SECONDS to save what they are at.
"""

from __future__ import annotations

import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from amid.errors import INSTALL_SCALE, AmidError, ConfigError

EXECUTORS = {
    "local": "amid.executors.local",
    "ray": "amid.executors.ray",
    "slurm": "amid.executors.slurm",
}
VARIABLE, ANY_PLATFORM = "AMID_EXECUTOR", "AMID_ANY_PLATFORM"
STOP_SECONDS = 3.5  # that workers get to save their state when a stage is told to end

Job = TypeVar("Job")
Result = TypeVar("Result")

_stop = threading.Event()  # in a worker


class WorkerLost(Exception):
    """A job's worker was killed or its node died, more often than the executor tries again."""


class Pool(ABC):
    """Workers that live as long as a `with` block."""

    @abstractmethod
    def submit(self, function: Callable[[Job], Result], job: Job) -> Future[Result]:
        """Runs `function(job)` in a worker."""

    @abstractmethod
    def close(self) -> None:
        """Waits for all jobs and ends the workers."""

    @abstractmethod
    def stop(self, grace: float) -> None:
        """Stops the workers: their jobs see `stop_requested` and have `grace` seconds to end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.stop(STOP_SECONDS if issubclass(kind, KeyboardInterrupt) else 0.0)


class Executor(Protocol):
    """What `executor_from_env` returns.

    here: workers are processes of this machine, which see its files under the same paths.
    """

    here: bool

    def pool(self, workers: int, *, jobs: int, gpu: bool = False, processes: int = 1) -> Pool:
        """Starts workers.

        workers: upper limit, 0 for the executor's default. jobs: number of jobs to come.
        processes: number of processes that each job starts. gpu: whether each of them needs one.
        """


def executor_from_env(environment: Mapping[str, str]) -> Executor:
    """The executor named by AMID_EXECUTOR, the local one if it is not set.

    Raises:
        ConfigError: no such executor, or its package is not installed.
    """
    value = environment.get(VARIABLE) or "local"
    name = re.match("[a-z]*", value)[0]
    if name not in EXECUTORS:
        raise unknown(value)
    return import_module(EXECUTORS[name]).executor(value, environment)


def unknown(value: str) -> ConfigError:
    """The error for a value of AMID_EXECUTOR."""
    return ConfigError(
        f"{VARIABLE} is {value!r}, which names no executor: use local, ray, ray:auto, "
        "ray:HOST:PORT, ray://HOST:PORT, slurm or slurm:local (docs/scale.md)."
    )


def need(package: str, value: str) -> None:
    """Raises ConfigError if `package`, which AMID_EXECUTOR's `value` needs, is not installed."""
    if find_spec(package) is None:
        raise ConfigError(
            f"{VARIABLE} is {value!r}, but the package {package} is not installed: {INSTALL_SCALE}"
        )


# ---------------------------------------------------------------- on the worker's side


def stop_requested() -> bool:
    """Whether the job in this worker has to save its state and raise Stopped."""
    return _stop.is_set()


def request_stop(*_: Any) -> None:
    """Makes `stop_requested` return True. Can be used as a signal handler."""
    _stop.set()


def clear_stop() -> None:
    """Makes `stop_requested` return False, in a worker that gets another job."""
    _stop.clear()


@dataclass(frozen=True)
class Call:
    """A job that is sent to a worker on another machine.

    platform: amid.core.reproducible.platform_fingerprint() of whoever asks for it, None for any.
    """

    function: Callable[[Any], Any]
    job: Any
    platform: str | None

    @classmethod
    def of(cls, function: Callable[[Job], Any], job: Job) -> Call:
        from amid.core.reproducible import platform_fingerprint

        anywhere = os.environ.get(ANY_PLATFORM) == "1"
        return cls(function, job, None if anywhere else platform_fingerprint())

    def __call__(self) -> Any:
        """Runs the job. Raises AmidError if this machine would not give identical results."""
        from amid.core.reproducible import PINS, platform_fingerprint

        unlike = {n: os.environ.get(n) for n, v in PINS.items() if os.environ.get(n) != v}
        if unlike:
            raise AmidError(f"A worker has other settings than {PINS}: {unlike}.")
        if self.platform not in (None, here := platform_fingerprint()):
            raise AmidError(
                f"A worker is of the platform {here}, the stage of {self.platform}, so that bits "
                f"may differ: use nodes of one kind, or set {ANY_PLATFORM}=1, which gives up equal "
                "bytes."
            )
        return self.function(self.job)


def forward_result(
    source: Future[Result], translated: Callable[[BaseException], BaseException]
) -> Future[Result]:
    """A future with the result of `source`, or with its error mapped by `translated`."""
    target: Future[Result] = Future()

    def done(source: Future[Result]) -> None:
        try:
            target.set_result(source.result())
        except BaseException as error:  # SystemExit too: nobody may wait for ever
            target.set_exception(translated(error))

    source.add_done_callback(done)
    return target
