"""Training in several processes, started here on this machine or by torchrun on several.

    python -m amid.runs.multiprocess FOLDER RANK

is one of the processes that are started here. It reads FOLDER/job.json. The first process appends
to `progress.jsonl` and writes `record.json`; a process that fails writes `error<rank>.json`.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock, Timeout

import amid
from amid.core.types import RunRecord, RunSpec
from amid.errors import AmidError, Stopped, storage_error
from amid.io.atomic import write_atomic
from amid.io.canonical_json import canonical_json
from amid.io.processes import die_with_parent
from amid.io.redact import redact
from amid.methods import PAIR_METHODS
from amid.runs.embeddings import check_data
from amid.runs.journal import JournalWriter
from amid.runs.plan import PAIR_TRAINER, PlannedRun
from amid.runs.store import JOURNAL, RunStore
from amid.training.job import CHECKPOINT, TrainingJob

if TYPE_CHECKING:
    from amid.core.distributed import World

POLL_SECONDS = 0.1
GRACE_SECONDS = 2.0  # for a process to report an error, once another one has failed
LOCK_SECONDS = 2.0  # that the first process waits for a lock before it tells the others
PATHS = ("data", "folder", "parent", "teacher")  # fields of a job
STOPPED = 75  # exit status of a process that was told to stop and has saved the run


def launch(job: TrainingJob) -> RunRecord:
    """Trains a run in this process, or in `training.processes` processes of this machine."""
    if job.spec.method in PAIR_METHODS:
        return import_module(PAIR_TRAINER).train(job)  # imports torch
    if job.spec.training.get("processes", 1) > 1:
        return train_in_processes(job)
    from amid.training.train import train  # imports torch

    return train(job)


def train_in_processes(job: TrainingJob) -> RunRecord:
    """Trains a run in `training.processes` processes of this machine; none outlives the call.

    The callbacks of the job are called in this process.

    Raises:
        Stopped: `job.stop` returned True, or all processes were told to stop; the state is saved.
        AmidError: a process failed; the message is that of the process that failed first.
    """
    size = job.spec.training["processes"]
    with tempfile.TemporaryDirectory(prefix="amid-") as name:
        folder = Path(name)
        values = {**_job_to_json(job), "pid": os.getpid()}
        write_atomic(folder / "job.json", canonical_json(values).encode())
        processes: list[subprocess.Popen] = []
        progress = ProgressReader(folder / "progress.jsonl", job)
        told = False
        try:
            for rank in range(size):
                processes.append(_process(folder, rank))
            while any(process.poll() is None for process in processes):
                progress.call_back()
                if any(process.returncode not in (None, 0, STOPPED) for process in processes):
                    break
                if not told and job.stop():
                    told = True
                    for process in processes:
                        process.terminate()
                time.sleep(POLL_SECONDS)
            _wait(processes)
            codes = [process.poll() for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        progress.call_back()
        if all(code == 0 for code in codes):
            return RunRecord.from_json((folder / "record.json").read_text(encoding="utf-8"))
        # A signal to the process group reaches them directly.
        if told or all(code == STOPPED for code in codes):
            raise Stopped
        raise _failure(folder, codes)


def train_under_torchrun(
    runs: Sequence[PlannedRun],
    *,
    store: RunStore,
    data: Path,
    checkpoint_every: int,
    checkpoint_minutes: float,
    stop: Callable[[], bool],
) -> int:
    """Trains the runs that the store lacks, with their warm-ups and fixed teachers, as one of the
    processes that torchrun started on any number of machines.

    Only the first process needs the store; each needs the folder `data`.

    Returns:
        The number of runs that were trained.

    Raises:
        AmidError: torchrun did not start this process, or the number of processes is not the runs'
            `training.processes`.
        Stopped: `stop` returned True; the state is saved.
    """
    from amid.core.distributed import process_group, world_of

    if "RANK" not in os.environ:
        raise AmidError("this command is one of several processes: start it with torchrun.")
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    specs = [s for run in runs for s in filter(None, (run.teacher, run.parent, run.spec))]
    for spec in specs:
        if (devices := spec.training.get("processes", 1)) != size:
            raise AmidError(
                f"torchrun started {size} processes, but a run of {spec.method} on {spec.dataset} "
                f"has 'training.processes' {devices}: they have to be as many."
            )
    check_data(data, specs)
    on_gpu = any(spec.training.get("device") == "cuda" for spec in specs)
    local, trained = int(os.environ["LOCAL_RANK"]), 0
    with process_group("cuda" if on_gpu else "cpu", local=local):
        world = world_of(size)

        def missing(spec: RunSpec) -> bool:
            return world.any(rank == 0 and store.fetch(spec.key) is None)

        for run in (run for run in runs if missing(run.spec)):
            for step in _chain(run):
                with _locked(store, step.spec.key, world, stop):
                    if missing(step.spec):
                        _train_step(
                            step,
                            store,
                            data,
                            first=rank == 0,
                            checkpoint_every=checkpoint_every,
                            checkpoint_minutes=checkpoint_minutes,
                            stop=stop,
                        )
                        trained += 1
    return trained


class Step(NamedTuple):
    """A run, the warm-up that it starts from and its fixed teacher."""

    spec: RunSpec
    parent: RunSpec | None
    teacher: RunSpec | None


def _chain(run: PlannedRun) -> list[Step]:
    """A run, after the runs that it needs."""
    steps = [
        Step(run.teacher, None, None),
        Step(run.parent, None, run.teacher),
        Step(run.spec, run.parent, run.teacher),
    ]
    return [step for step in steps if step.spec is not None]


def _train_step(
    step: Step, store: RunStore, data: Path, *, first: bool, stop: Callable[[], bool], **given: Any
) -> None:
    """Trains a run with the other processes. Only the `first` one writes its files."""
    from amid.training.train import train

    spec, key = step.spec, step.spec.key
    if first:
        store.fetch_state(key)
    job = TrainingJob(
        spec,
        data,
        store.folder(key),
        parent=None if step.parent is None else store.folder(step.parent.key) / CHECKPOINT,
        teacher=None if step.teacher is None else store.model(step.teacher.key),
        stop=stop,
        **given,
    )
    if first:
        writer = JournalWriter(store.folder(key) / JOURNAL, uuid.uuid4().hex)
        job = replace(job, on_start=writer.start, on_epoch=writer.epoch)
    try:
        record = train(job)
    except Stopped:
        if first:
            store.publish_state(key)
        raise
    if first:
        store.finish(record)
        store.publish(key)
        print(f"{spec.method}, seed {spec.seed}: trained as {key}", flush=True)


@contextmanager
def _locked(store: RunStore, key: str, world: World, stop: Callable[[], bool]) -> Iterator[None]:
    """Holds the run's lock in the first process.

    While it waits, the processes keep exchanging messages, so that none waits for ever for one that
    is lost. Raises Stopped if one is told to stop meanwhile.
    """
    lock, mine = store.lock(key), world.rank == 0
    try:
        while not world.any(mine and _taken(lock)):
            if world.any(stop()):
                raise Stopped
        yield
    finally:
        if mine:
            lock.release()


def _taken(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        return False
    return True


class ProgressReader:
    """Calls a job's callbacks with what the first process wrote to the file `path`."""

    def __init__(self, path: Path, job: TrainingJob) -> None:
        self.path, self.read = path, 0
        self.callbacks = {"start": job.on_start, "epoch": job.on_epoch}

    def call_back(self) -> None:
        """Handles the lines that were added since the last call."""
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]  # the last is being written
        for line in lines[self.read :]:
            name, *values = json.loads(line)
            self.callbacks[name](*values)
        self.read = len(lines)


def _job_to_json(job: TrainingJob) -> dict[str, Any]:
    """The fields of a job other than its callbacks, with absolute paths."""
    minutes = job.checkpoint_minutes
    paths = {name: getattr(job, name) for name in PATHS}
    return {
        **{name: None if path is None else str(path.absolute()) for name, path in paths.items()},
        "spec": job.spec.to_dict(),
        "checkpoint_every": job.checkpoint_every,
        "checkpoint_minutes": None if math.isinf(minutes) else minutes,
    }


def _job_from_json(values: dict[str, Any], **callbacks: Callable) -> TrainingJob:
    """The job that `_job_to_json` wrote, with other callbacks."""
    minutes = values["checkpoint_minutes"]
    return TrainingJob(
        **{name: None if values[name] is None else Path(values[name]) for name in PATHS},
        spec=RunSpec.from_dict(values["spec"]),
        checkpoint_every=values["checkpoint_every"],
        checkpoint_minutes=math.inf if minutes is None else minutes,
        **callbacks,
    )


def _process(folder: Path, rank: int) -> subprocess.Popen:
    root = str(Path(amid.__file__).parent.parent)
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths}
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"  # keeps the traffic off the network
    words = [sys.executable, "-m", "amid.runs.multiprocess", str(folder), str(rank)]
    return subprocess.Popen(words, env=environment)


def _wait(processes: list[subprocess.Popen]) -> None:
    """Waits GRACE_SECONDS for the processes to end."""
    until = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < until and any(process.poll() is None for process in processes):
        time.sleep(POLL_SECONDS)


def _failure(folder: Path, codes: list[int | None]) -> Exception:
    """The error to raise for processes that ended with exit statuses `codes`; None stands for one
    that is still running.

    The cause is a process that was killed, or else the first error that is not a lost process.
    """
    for rank, code in enumerate(codes):
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            return AmidError(
                f"process {rank} of the {len(codes)} that share the batches was killed by {name} "
                "(out of memory?); what was trained is kept, run the same command again to go on."
            )
    paths = [folder / f"error{rank}.json" for rank in range(len(codes))]
    told = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
    if not told:
        return AmidError(f"the {len(codes)} processes that share the batches ended with {codes}.")
    first = min(told, key=lambda error: error["rank"])
    if not first["sentence"]:
        return RuntimeError(first["text"])
    error = AmidError(first["text"])
    error.exit_code = first["exit_code"]
    return error


def _run_process(folder: Path, rank: int) -> int:
    """Trains the job in `folder` as process number `rank` and returns the exit status."""
    values = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    die_with_parent(values["pid"])
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm's warning, handled by the parent
    import amid.core.reproducible  # noqa: F401  pins the kernels before torch is imported
    from amid.core.distributed import PeerLost, process_group
    from amid.training.train import train

    def tell(*values: Any) -> None:
        if rank == 0:
            with (folder / "progress.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")

    job = _job_from_json(
        values,
        stop=stop.is_set,
        on_start=lambda done, history: tell("start", done, history),
        on_epoch=lambda epoch, metrics: tell("epoch", epoch, metrics),
    )
    training = job.spec.training
    device, size, place = training.get("device", "cpu"), training["processes"], folder / "meeting"
    try:
        with process_group(device, place=f"file://{place}", rank=rank, size=size, local=rank):
            record = train(job)
            if rank == 0:
                write_atomic(folder / "record.json", record.to_json().encode())
    except Stopped:
        return STOPPED
    except Exception as error:
        known = error if isinstance(error, AmidError) else storage_error(error, job.folder)
        # A process that only lost another one does not know the cause: it comes last.
        order = [isinstance(error, PeerLost), rank]
        told = {"rank": order, "sentence": known is not None, "text": str(known)}
        told["exit_code"] = getattr(known, "exit_code", 1)
        if known is None:
            told["text"] = f"process {rank}: {redact(traceback.format_exc())}"
        write_atomic(folder / f"error{rank}.json", json.dumps(told).encode())
        return 1
    return 0


if __name__ == "__main__":
    code = _run_process(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.flush()
    # Skips torch's destructors, which wait for processes that have ended.
    os._exit(code)
