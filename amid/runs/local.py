"""The local executor: a pool of persistent single-thread workers on this machine."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from amid.checkpoint import read_checkpoint
from amid.errors import AmidError, Stopped
from amid.processes import die_with_parent
from amid.progress import Progress
from amid.runs import journal
from amid.runs.embed import check_data
from amid.runs.plan import PlannedRun
from amid.runs.store import CHECKPOINT, JOURNAL, RunStore
from amid.tracking import Tracker
from amid.types import RunRecord, RunSpec

POLL_SECONDS = 2.0
# Between two writes of a run's epochs to MLflow, each of which costs what 100 epochs cost.
LOG_SECONDS = 15.0
STOP_SECONDS = 3.5  # that workers get to save their state when the stage is told to end
# A forked worker has torch imported already (3 s of a core for each). Elsewhere than on Linux
# system libraries do not stand it.
START_METHOD = "fork" if sys.platform == "linux" else "spawn"


@dataclass(frozen=True)
class Job:
    """What a worker needs to train one run."""

    spec: RunSpec
    parent: RunSpec | None
    teacher: RunSpec | None
    store: Path
    data: Path
    checkpoint_every: int
    checkpoint_minutes: float
    token: str


_told_to_stop = threading.Event()  # in a worker, by SIGTERM


def run_all(
    runs: Sequence[PlannedRun],
    *,
    store: RunStore,
    data: Path,
    workers: int,
    checkpoint_every: int,
    checkpoint_minutes: float = math.inf,
    tracker: Tracker,
) -> dict[str, RunRecord]:
    """Trains the runs that are not in the store; the records of all by key.

    data: folder of the data set. workers: processes, 0 for one a core, or a single one on a GPU.
    Metrics reach MLflow while the workers train. AmidError names the run that failed; the others'
    work stays in the store. When the stage is told to end (KeyboardInterrupt) the runs save their
    state at the batch they are at, as far as that takes no longer than STOP_SECONDS.
    """
    unique = {run.spec.key: run for run in runs}
    records = {key: record for key in unique if (record := store.record(key)) is not None}
    known = list(records)
    missing = [run for key, run in unique.items() if key not in records]
    epochs = sum(run.spec.training["epochs"] for run in missing)
    check_data(data, (run.spec for run in missing))
    if missing:
        token = uuid.uuid4().hex
        jobs = {
            run.spec.key: Job(
                run.spec,
                run.parent,
                run.teacher,
                store.root,
                data,
                checkpoint_every,
                checkpoint_minutes,
                token,
            )
            for run in missing
        }
        with ProcessPoolExecutor(
            min(workers or _usual_workers(missing), len(missing)),
            mp_context=multiprocessing.get_context(START_METHOD),
            initializer=_start_worker,
            initargs=(os.getpid(), sys.path),
        ) as pool:
            # Workers start with the first job, before the tracker and the progress bar start
            # threads of their own: a fork copies one thread, and the locks the others hold.
            futures = {pool.submit(_train, job): unique[key] for key, job in jobs.items()}
            tracker.open()
            try:
                with Progress(f"{tracker.stage}: epochs", epochs) as progress:
                    _follow(futures, token, store, tracker, progress, records)
            except BaseException as error:
                _end(pool, STOP_SECONDS if isinstance(error, KeyboardInterrupt) else 0.0)
                raise
    trained = len(missing)
    for key in known:
        lines = journal.read(store.folder(key) / JOURNAL)
        tracker.log_known(unique[key], records[key], lines, store.model(key))
    print(
        f"{tracker.stage}: {len(unique)} runs, {trained} trained, "
        f"{len(unique) - trained} from the store",
        flush=True,
    )
    return records


def _follow(
    futures: dict[Future, PlannedRun],
    token: str,
    store: RunStore,
    tracker: Tracker,
    progress: Progress,
    records: dict[str, RunRecord],
) -> None:
    """Passes the journals on to MLflow until all runs are done."""
    waiting = set(futures)
    seen = dict.fromkeys((run.spec.key for run in futures.values()), 0)
    unlogged: dict[str, list[dict]] = {key: [] for key in seen}
    last = time.monotonic()
    while waiting:
        done, waiting = wait(waiting, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        for future in (*done, *waiting):
            key = futures[future].spec.key
            lines = journal.read(store.folder(key) / JOURNAL, token, seen[key])
            seen[key] += len(lines)
            unlogged[key] += lines
            progress.advance(len(lines))
        for future in done:
            run = futures[future]
            try:
                future.result()
            except BrokenProcessPool:
                raise AmidError(
                    f"{tracker.stage}: a worker process was killed (out of memory?); what was "
                    "trained is kept, run the same command again to go on."
                ) from None
            except Stopped:
                raise AmidError(
                    f"{tracker.stage}: a worker process was told to stop, and its run is saved; "
                    "run the same command again to go on."
                ) from None
            key = run.spec.key
            records[key] = record = store.record(key)
            progress.say(_summary(run, record))
            # A run that another stage trained meanwhile has no lines of this one's.
            log = tracker.log_run if seen[key] else tracker.log_known
            log(run, record, unlogged.pop(key), store.model(key))
        if time.monotonic() - last >= LOG_SECONDS:
            for future in waiting:
                if lines := unlogged[futures[future].spec.key]:
                    tracker.log_epochs(futures[future], lines)
                    lines.clear()
            last = time.monotonic()


def _end(pool: ProcessPoolExecutor, grace: float) -> None:
    """Ends the workers: told to stop, they have `grace` seconds before they are killed."""
    alive = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    if grace:
        for process in alive:
            process.terminate()
        until = time.monotonic() + grace
        for process in alive:
            process.join(max(0.0, until - time.monotonic()))
    for process in alive:  # not at the end of their trainings: now
        process.kill()


def _usual_workers(runs: Sequence[PlannedRun]) -> int:
    on_gpu = any(run.spec.training.get("device") == "cuda" for run in runs)
    return 1 if on_gpu else available_cores()


def _summary(run: PlannedRun, record: RunRecord) -> str:
    """One line on a finished run; validation only, since the test split is for the tables."""
    head = record.selected_on
    best = record.history[record.best_epoch].get(f"validation_{head}")
    shown = "" if best is None else f": {head} {100 * best:.1f} % on validation"
    return f"{run.folder}{shown} (epoch {record.best_epoch + 1})"


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker(parent: int, path: list[str]) -> None:
    """Ties the worker's life to its stage: a stage killed with -9 leaves no worker behind."""
    sys.path[:] = path
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the stage's to handle
    signal.signal(signal.SIGTERM, lambda *_: _told_to_stop.set())
    import amid.reproducible  # noqa: F401  pins the kernels before torch is imported


def _train(job: Job) -> None:
    if _told_to_stop.is_set():
        raise Stopped
    store = RunStore(job.store)
    with store.lock(job.spec.key):
        if store.record(job.spec.key) is None:
            if store.damaged(job.spec.key):
                print(f"{store.folder(job.spec.key)} is damaged: the run is made again", flush=True)
            _train_locked(job, store)


def _train_locked(job: Job, store: RunStore) -> None:
    from amid import engine

    parent = teacher = None
    if job.teacher is not None:
        of_teacher = replace(job, spec=job.teacher, parent=None, teacher=None)
        teacher = _file_of(of_teacher, store, store.model(job.teacher.key))
    if job.parent is not None:
        of_parent = replace(job, spec=job.parent, parent=None)
        parent = _file_of(of_parent, store, store.folder(job.parent.key) / CHECKPOINT)
    folder = store.folder(job.spec.key)
    writer = journal.JournalWriter(folder / JOURNAL, job.token)
    record = engine.train(
        job.spec,
        job.data,
        folder,
        parent=parent,
        teacher=teacher,
        checkpoint_every=job.checkpoint_every,
        checkpoint_minutes=job.checkpoint_minutes,
        stop=_told_to_stop.is_set,
        on_start=writer.start,
        on_epoch=writer.epoch,
    )
    store.finish(record)


def _file_of(job: Job, store: RunStore, path: Path) -> Path:
    """A file of a run that others build on, which is trained now where it is missing; anew, if the
    file is damaged."""
    _train(job)
    try:
        read_checkpoint(path)
    except AmidError as error:
        print(f"warning: {error} The run is trained again.", file=sys.stderr)
        with store.lock(job.spec.key):
            store.forget(job.spec.key)
        _train(job)
    return path
