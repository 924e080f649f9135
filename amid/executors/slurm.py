"""The slurm executor: jobs as arrays of submitit. A job that is preempted, or is at the end of its
time, saves its state and is queued again, on this node or another."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import amid
from amid.core.reproducible import PINS
from amid.errors import AmidError, ConfigError, Stopped
from amid.executors import (
    VARIABLE,
    Call,
    Job,
    Pool,
    Result,
    WorkerLost,
    need,
    request_stop,
    unknown,
)
from amid.io.processes import available_cores
from amid.io.project import project_home

if TYPE_CHECKING:
    from submitit import AutoExecutor
    from submitit.helpers import DelayedSubmission

OPTIONS = "AMID_SLURM"
POLL_SECONDS = 0.5
# Submitit's own limit on how often a job may run out of time, 3, is for jobs that do not resume.
MOST_TIMEOUTS = 1000
MOST_AT_ONCE = 1000  # Slurm's usual MaxArraySize is 1001
PAUSES = (5.0, 20.0, 60.0)  # in seconds, after a submission that a busy controller did not take
BUSY = ("Socket timed out", "Unable to contact slurm controller", "temporarily unavailable")
END_SECONDS = 2.0  # for processes of slurm:local that are told to end


def executor(value: str, environment: Mapping[str, str]) -> Slurm:
    """ "slurm", or "slurm:local": the same without Slurm, as processes of this machine."""
    if value not in ("slurm", "slurm:local"):
        raise unknown(value)
    need("submitit", value)
    folder = project_home(environment) / ".runs" / "slurm"
    return Slurm(value.partition(":")[2] or "slurm", options(environment), folder)


def options(environment: Mapping[str, str]) -> dict[str, Any]:
    """AMID_SLURM: JSON, or the path of a file with it; ConfigError where it is neither."""
    given = environment.get(OPTIONS, "{}").strip()
    try:
        text = given if given.startswith("{") else Path(given).read_text(encoding="utf-8")
        values = json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{OPTIONS} is neither JSON nor a file with it ({error}): write such as "
            '\'{"partition": "cpu", "timeout_min": 240}\'.'
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(f'{OPTIONS} has to be an object, such as \'{{"partition": "cpu"}}\'.')
    return values


class Slurm:
    """cluster: "slurm" or "local". options: as of submitit's AutoExecutor, Slurm's own ones with or
    without their `slurm_`. folder: for submitit's files, seen by all nodes."""

    def __init__(self, cluster: str, options: Mapping[str, Any], folder: Path) -> None:
        self.cluster, self.options, self.folder = cluster, options, folder
        self.here = cluster == "local"

    def pool(self, workers: int, *, jobs: int, gpu: bool = False, processes: int = 1) -> SlurmPool:
        executor = self._submitit(workers, gpu, processes)
        usual = max(available_cores() // processes, 1)
        at_once = workers or usual if self.here else MOST_AT_ONCE
        return SlurmPool(executor, min(at_once, jobs))

    def _submitit(self, workers: int, gpu: bool, processes: int) -> AutoExecutor:
        from submitit import AutoExecutor

        usual = {"name": "amid", "timeout_min": 24 * 60, "cpus_per_task": processes}
        usual |= {"gpus_per_node": processes} if gpu else {}
        usual |= {"slurm_setup": [f"export {n}={shlex.quote(v)}" for n, v in _settings().items()]}
        usual |= {"slurm_array_parallelism": workers} if workers else {}
        shared = AutoExecutor._typed_parameters()
        given = {
            name if name in shared or name.startswith("slurm_") else f"slurm_{name}": value
            for name, value in self.options.items()
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)  # it holds pickles, which nobody else may write
        try:
            made = AutoExecutor(
                self.folder / "%j",
                cluster=self.cluster,
                local_max_num_timeout=MOST_TIMEOUTS,
                slurm_max_num_timeout=MOST_TIMEOUTS,
            )
            made.update_parameters(**{**usual, **given})
        except RuntimeError as error:  # there is no srun
            raise ConfigError(
                f"{VARIABLE} is 'slurm', but this is no machine that jobs can be submitted from "
                f"({error}): use a login node, or slurm:local."
            ) from None
        except (NameError, ValueError, AssertionError) as error:
            line = str(error).splitlines()[0]
            raise ConfigError(f"{OPTIONS} has an option that submitit refuses: {line}") from None
        return made


class SlurmPool(Pool):
    """What is submitted between two looks at the queue is one array."""

    def __init__(self, executor: AutoExecutor, at_once: int) -> None:
        self._executor, self._at_once = executor, at_once
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._queued: list[tuple[Preemptible, Future]] = []
        self._running: dict[Any, Future] = {}  # by submitit's job
        self._futures: list[Future] = []
        self._failed: Exception | None = None  # the watcher, which then is gone
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def submit(self, function: Callable[[Job], Result], job: Job) -> Future[Result]:
        future: Future[Result] = Future()
        with self._lock:
            if self._failed is not None:
                raise self._failed
            self._queued.append((Preemptible(Call.of(function, job)), future))
            self._futures.append(future)
        return future

    def close(self) -> None:
        wait(self._futures)
        self._ended.set()
        self._watcher.join()

    def stop(self, grace: float) -> None:
        self._ended.set()
        self._watcher.join()
        until = time.monotonic() + grace
        local = self._executor.cluster == "local"
        for job in self._running:
            if local and grace:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(job.job_id), signal.SIGTERM)  # reaches the job itself
            else:
                job.cancel(check=False)  # Slurm: SIGTERM, and SIGKILL after its KillWait
        while local and time.monotonic() < until and not all(job.done() for job in self._running):
            time.sleep(0.05)
        if local:
            for job in self._running:
                job.cancel(check=False)
            until = time.monotonic() + END_SECONDS
            while time.monotonic() < until and not all(job.done() for job in self._running):
                time.sleep(0.05)

    def _watch(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            try:
                self._collect()
                self._send()
            except Exception as error:  # of sbatch, say: nobody would hear of it in this thread
                with self._lock:
                    self._failed = error
                for future in self._futures:
                    if not future.done():
                        future.set_exception(error)
                return

    def _send(self) -> None:
        with self._lock:
            room = self._at_once - len(self._running)
            sent, self._queued = self._queued[:room], self._queued[room:]
        if sent:
            jobs = self._submitted([call for call, _ in sent])
            self._running |= dict(zip(jobs, (future for _, future in sent), strict=True))

    def _submitted(self, calls: list[Preemptible]) -> list[Any]:
        """Submitit's jobs of the calls, as one array; AmidError where Slurm takes none. (One that
        sbatch queued before it said that it could not is done twice, to the same bytes.)"""
        from submitit.core.utils import FailedJobError

        for seconds in (*PAUSES, None):
            try:
                with _environment(_settings()), self._executor.batch():
                    return [self._executor.submit(call) for call in calls]
            except FailedJobError as error:
                busy = any(words in str(error) for words in BUSY)
                if seconds is None or not busy or self._ended.wait(seconds):
                    why = " ".join(str(error).split())
                    raise AmidError(
                        f"sbatch refuses the jobs ({why}): mend {OPTIONS}, or run the same command "
                        "again; what was trained is kept."
                    ) from None

    def _collect(self) -> None:
        from submitit.core.utils import UncompletedJobError

        for job in [job for job in self._running if job.done()]:
            future = self._running.pop(job)
            try:
                finished = job.result()
            except UncompletedJobError as error:
                future.set_exception(WorkerLost(str(error)))
            except Exception as error:
                future.set_exception(error)
            else:
                finished.hand_to(future)


@dataclass(frozen=True)
class JobResult:
    """The result of a job, or its error, of which submitit itself returns only the traceback."""

    result: Any = None
    error: Exception | None = None

    def hand_to(self, future: Future) -> None:
        if self.error is None:
            future.set_result(self.result)
        else:
            future.set_exception(self.error)


@dataclass
class Preemptible:
    """A job that submitit can ask for a checkpoint.

    It does so in a handler of signals, in the middle of whatever the main thread is at: the job
    works in a thread of its own, which is told to stop and waited for.
    """

    call: Call
    _finished: JobResult | None = field(default=None, init=False)
    _unexpected: Exception | None = field(default=None, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def __call__(self) -> JobResult:
        signal.signal(signal.SIGTERM, request_stop)  # of scancel
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        self._thread.join()
        if self._unexpected is not None:
            raise self._unexpected
        return self._finished

    def checkpoint(self) -> DelayedSubmission:
        """Stops the job where it can resume. Returns the job to queue again."""
        from submitit.helpers import DelayedSubmission

        request_stop()
        if self._thread is not None:  # the signal may come before the job begins
            self._thread.join()
        return DelayedSubmission(Preemptible(self.call))

    def _work(self) -> None:
        try:
            self._finished = JobResult(self.call())
        except (AmidError, Stopped, OSError) as error:
            self._finished = JobResult(error=error)
        except Exception as error:
            self._unexpected = error


def _settings() -> dict[str, str]:
    """Environment of a job: kernels are pinned before submitit imports numpy, and amid is found."""
    root = str(Path(amid.__file__).resolve().parent.parent)
    found = os.environ.get("PYTHONPATH")
    return {**PINS, "PYTHONPATH": f"{root}{os.pathsep}{found}" if found else root}


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """The variables for processes that are started meanwhile; sbatch sends them to its jobs."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
