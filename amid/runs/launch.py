"""Runs on several processes: of this machine, started, watched and ended together, or of torchrun.

    python -m amid.runs.launch FOLDER RANK

is one of them. In FOLDER lies `job.json`; the first process appends to `progress.jsonl` and leaves
`record.json`, and one that fails leaves `error<rank>.json`.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock, Timeout

import amid
from amid.checkpoint import write_atomic
from amid.errors import AmidError, Stopped, storage_error
from amid.processes import die_with_parent
from amid.runs.embed import check_data
from amid.runs.journal import JournalWriter
from amid.runs.plan import PlannedRun
from amid.runs.store import CHECKPOINT, JOURNAL, RunStore
from amid.shown import masked
from amid.types import RunRecord, RunSpec, canonical_json

if TYPE_CHECKING:
    from amid.distributed import World

POLL_SECONDS = 0.1
GRACE_SECONDS = 2.0  # to tell what happened, once another process has ended by a failure
LOCK_SECONDS = 2.0  # that the first process waits for a lock before it lets the others hear of it
STOPPED = 75  # exit status of a process that was told to stop, and has saved the run


def train(
    spec: RunSpec,
    data_folder: Path,
    run_folder: Path,
    *,
    parent: Path | None,
    teacher: Path | None,
    checkpoint_every: int,
    checkpoint_minutes: float,
    stop: Callable[[], bool],
    on_epoch: Callable[[int, dict[str, float]], None],
    on_start: Callable[[int, list[dict[str, float]]], None],
) -> RunRecord:
    """`amid.engine.train` of a run with `training.devices` above 1, with the same arguments.

    Raises AmidError with what the process said that failed first; none is left behind.
    """
    size = spec.training["devices"]
    with tempfile.TemporaryDirectory(prefix="amid-") as name:
        folder = Path(name)
        job = {
            "spec": spec.to_dict(),
            "data": str(data_folder.absolute()),
            "run": str(run_folder.absolute()),
            "parent": None if parent is None else str(parent.absolute()),
            "teacher": None if teacher is None else str(teacher.absolute()),
            "checkpoint_every": checkpoint_every,
            "checkpoint_minutes": None if math.isinf(checkpoint_minutes) else checkpoint_minutes,
            "pid": os.getpid(),
        }
        write_atomic(folder / "job.json", canonical_json(job).encode())
        processes: list[subprocess.Popen] = []
        progress = Progress(folder / "progress.jsonl", on_start, on_epoch)
        told = False
        try:
            for rank in range(size):
                processes.append(_process(folder, rank))
            while any(process.poll() is None for process in processes):
                progress.pass_on()
                if any(process.returncode not in (None, 0, STOPPED) for process in processes):
                    break
                if not told and stop():
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
        progress.pass_on()
        if all(code == 0 for code in codes):
            return RunRecord.from_json((folder / "record.json").read_text(encoding="utf-8"))
        # A signal to the whole group reaches them without this process.
        if told or all(code == STOPPED for code in codes):
            raise Stopped
        raise _failure(folder, codes)


def train_here(
    runs: Sequence[PlannedRun],
    *,
    store: RunStore,
    data: Path,
    checkpoint_every: int,
    checkpoint_minutes: float,
    stop: Callable[[], bool],
) -> int:
    """Trains the runs that the store lacks, with warm-ups and fixed teachers, as one of those
    processes that torchrun started on any number of machines; how many were trained.

    The first process alone needs the store; `data` each. Raises AmidError where it was not torchrun
    that started this, or not as many as the runs' `training.devices`; Stopped when `stop` says so.
    """
    from amid.distributed import joined, world_of

    if "RANK" not in os.environ:
        raise AmidError("this command is one of several processes: start it with torchrun.")
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    specs = [s for run in runs for s in filter(None, (run.teacher, run.parent, run.spec))]
    for spec in specs:
        if (devices := spec.training.get("devices", 1)) != size:
            raise AmidError(
                f"torchrun started {size} processes, but a run of {spec.method} on {spec.dataset} "
                f"has 'training.devices' {devices}: they have to be as many."
            )
    check_data(data, specs)
    on_gpu = any(spec.training.get("device") == "cuda" for spec in specs)
    local, trained = int(os.environ["LOCAL_RANK"]), 0
    with joined("cuda" if on_gpu else "cpu", local=local):
        world = world_of(size)

        def missing(spec: RunSpec) -> bool:
            return world.any(rank == 0 and store.fetch(spec.key) is None)

        for run in (run for run in runs if missing(run.spec)):
            for step in _chain(run):
                with _locked(store, step.spec.key, world, stop):
                    if missing(step.spec):
                        _train_shared(
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
    """A run, the warm-up that it begins from and its fixed teacher."""

    spec: RunSpec
    parent: RunSpec | None
    teacher: RunSpec | None


def _chain(run: PlannedRun) -> list[Step]:
    """A run after those it builds on."""
    steps = [
        Step(run.teacher, None, None),
        Step(run.parent, None, run.teacher),
        Step(run.spec, run.parent, run.teacher),
    ]
    return [step for step in steps if step.spec is not None]


def _train_shared(
    step: Step, store: RunStore, data: Path, *, first: bool, stop: Callable[[], bool], **given: Any
) -> None:
    """Trains a run with the other processes; the `first` one keeps its state and files it."""
    from amid import engine

    spec, key = step.spec, step.spec.key
    if first:
        store.fetch_state(key)
    writer = JournalWriter(store.folder(key) / JOURNAL, uuid.uuid4().hex)
    try:
        record = engine.train(
            spec,
            data,
            store.folder(key),
            parent=None if step.parent is None else store.folder(step.parent.key) / CHECKPOINT,
            teacher=None if step.teacher is None else store.model(step.teacher.key),
            stop=stop,
            on_start=writer.start if first else lambda *_: None,
            on_epoch=writer.epoch if first else lambda *_: None,
            **given,
        )
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
    """The run's lock, held by the first process; the others hear of it while it waits, since none
    waits for a lost process for ever. Stopped when one is told to stop meanwhile."""
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


class Progress:
    """Passes on to the callbacks what the first process tells of its run."""

    def __init__(self, path: Path, on_start: Callable, on_epoch: Callable) -> None:
        self.path, self.read = path, 0
        self.callbacks = {"start": on_start, "epoch": on_epoch}

    def pass_on(self) -> None:
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]  # the last is being written
        for line in lines[self.read :]:
            name, *values = json.loads(line)
            self.callbacks[name](*values)
        self.read = len(lines)


def _process(folder: Path, rank: int) -> subprocess.Popen:
    root = str(Path(amid.__file__).parent.parent)
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths}
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"  # nothing of it is to be seen on a network
    words = [sys.executable, "-m", "amid.runs.launch", str(folder), str(rank)]
    return subprocess.Popen(words, env=environment)


def _wait(processes: list[subprocess.Popen]) -> None:
    """Gives those that are left the time to end by themselves."""
    until = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < until and any(process.poll() is None for process in processes):
        time.sleep(POLL_SECONDS)


def _failure(folder: Path, codes: list[int | None]) -> Exception:
    """What to tell of processes that ended with `codes`, None for one that had to be ended.

    The cause is a kill, or else what a process said that did not just miss another one.
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


def _one_of_several(folder: Path, rank: int) -> int:
    """Trains the job in `folder` as process number `rank`; the exit status."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    die_with_parent(job["pid"])
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm's warning, which the parent passes on
    import amid.reproducible  # noqa: F401  pins the kernels before torch is imported
    from amid import engine
    from amid.distributed import Unanswered, joined

    def tell(*values: Any) -> None:
        if rank == 0:
            with (folder / "progress.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")

    spec = RunSpec.from_dict(job["spec"])
    device = spec.training.get("device", "cpu")
    minutes = job["checkpoint_minutes"]
    place = f"file://{folder / 'meeting'}"
    try:
        with joined(device, place=place, rank=rank, size=spec.training["devices"], local=rank):
            record = engine.train(
                spec,
                Path(job["data"]),
                Path(job["run"]),
                parent=None if job["parent"] is None else Path(job["parent"]),
                teacher=None if job["teacher"] is None else Path(job["teacher"]),
                checkpoint_every=job["checkpoint_every"],
                checkpoint_minutes=math.inf if minutes is None else minutes,
                stop=stop.is_set,
                on_start=lambda done, history: tell("start", done, history),
                on_epoch=lambda epoch, metrics: tell("epoch", epoch, metrics),
            )
            if rank == 0:
                write_atomic(folder / "record.json", record.to_json().encode())
    except Stopped:
        return STOPPED
    except Exception as error:
        known = error if isinstance(error, AmidError) else storage_error(error, Path(job["run"]))
        # Who only missed another process is asked last.
        order = [isinstance(error, Unanswered), rank]
        told = {"rank": order, "sentence": known is not None, "text": str(known)}
        told["exit_code"] = getattr(known, "exit_code", 1)
        if known is None:
            told["text"] = f"process {rank}: {masked(traceback.format_exc())}"
        write_atomic(folder / f"error{rank}.json", json.dumps(told).encode())
        return 1
    return 0


if __name__ == "__main__":
    code = _one_of_several(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.flush()
    # Not by way of torch's destructors, which wait for processes that are gone.
    os._exit(code)
