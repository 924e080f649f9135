"""Trains the runs a stage asks for, each once, on an executor, while MLflow follows."""

from __future__ import annotations

import math
import sys
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from amid.checkpoint import read_checkpoint
from amid.errors import AmidError, Stopped
from amid.executors import Executor, WorkerLost, told_to_stop
from amid.executors.local import Local
from amid.progress import Progress
from amid.remote import Remote, cache_folder, cached, content_name, contents
from amid.runs import journal
from amid.runs.embed import check_data, files_read
from amid.runs.plan import PlannedRun, code_of
from amid.runs.store import CHECKPOINT, JOURNAL, RunStore
from amid.tracking import Tracker
from amid.types import RunRecord, RunSpec

POLL_SECONDS = 2.0
# Between two writes of a run's epochs to MLflow, each of which costs what 100 epochs cost.
LOG_SECONDS = 15.0


@dataclass(frozen=True)
class Job:
    """What a worker needs to train one run.

    store: folder of the run store, None for one of the worker's own. url: where the runs are as
    well. data: folder of the data set; with a `content` one of that name, which the worker has from
    the store. elsewhere: the worker may have another copy of amid than the stage.
    """

    spec: RunSpec
    parent: RunSpec | None
    teacher: RunSpec | None
    store: Path | None
    url: str | None = field(repr=False)  # it may hold a password
    platform: str
    data: Path
    content: str | None
    elsewhere: bool
    checkpoint_every: int
    checkpoint_minutes: float
    token: str


def run_all(
    runs: Sequence[PlannedRun],
    *,
    store: RunStore,
    data: Path,
    workers: int,
    checkpoint_every: int,
    checkpoint_minutes: float = math.inf,
    tracker: Tracker,
    executor: Executor | None = None,
) -> dict[str, RunRecord]:
    """Trains the runs that are not in the store; the records of all by key.

    data: folder of the data set. workers: at most so many at once, 0 for what the executor finds
    usual. executor: the local one, if none is given. Metrics reach MLflow while the workers train.
    AmidError names the run that failed; the others' work stays in the store. When the stage is told
    to end (KeyboardInterrupt) the runs save their state at the batch they are at, as far as that
    takes no longer than STOP_SECONDS.
    """
    executor = executor or Local()
    unique = {run.spec.key: run for run in runs}
    records = {key: record for key in unique if (record := store.fetch(key)) is not None}
    known = list(records)
    missing = [run for key, run in unique.items() if key not in records]
    epochs = sum(run.spec.training["epochs"] for run in missing)
    check_data(data, (run.spec for run in missing))
    if missing:
        token = uuid.uuid4().hex
        place = _place(missing, store, data, executor)
        jobs = {
            run.spec.key: Job(
                spec=run.spec,
                parent=run.parent,
                teacher=run.teacher,
                checkpoint_every=checkpoint_every,
                checkpoint_minutes=checkpoint_minutes,
                token=token,
                **place,
            )
            for run in missing
        }
        with executor.pool(
            workers, jobs=len(missing), gpu=_on_gpu(missing), processes=_processes(missing)
        ) as pool:
            # Before the tracker and the progress bar start threads: local workers are forked.
            futures = {pool.submit(train, job): unique[key] for key, job in jobs.items()}
            tracker.open()
            with Progress(f"{tracker.stage}: epochs", epochs) as progress:
                _follow(futures, token, store, tracker, progress, records)
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


def _place(
    runs: Sequence[PlannedRun], store: RunStore, data: Path, executor: Executor
) -> dict[str, Any]:
    """Where a job of these runs finds what it needs and leaves what it makes. Data, warm-ups and
    teachers that the executor's workers have from the store are pushed there."""
    elsewhere = not isinstance(executor, Local)
    content = None
    if store.remote is not None and not executor.here:
        before = [spec for run in runs for spec in (run.parent, run.teacher) if spec is not None]
        for key in {spec.key for spec in before}:
            if store.record(key) is not None:
                store.publish(key)
        files = files_read([*before, *(run.spec for run in runs)])
        content = f"data/{content_name(contents(data, files))}"
        if not store.remote.exists(content):
            store.remote.push(data, content, files)
    return {
        "store": store.root.absolute() if content is None else None,
        "url": None if store.remote is None else store.remote.url,
        "platform": store.platform,
        "data": data.absolute() if elsewhere else data,
        "content": content,
        "elsewhere": elsewhere,
    }


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
            if future in done and future.exception() is None:
                store.fetch(key)  # of a store that is elsewhere, with the whole journal
            lines = journal.read(store.folder(key) / JOURNAL, token, seen[key])
            seen[key] += len(lines)
            unlogged[key] += lines
            progress.advance(len(lines))
        for future in done:
            run = futures[future]
            try:
                future.result()
            except WorkerLost:
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
            if (record := store.record(key)) is None:
                raise AmidError(
                    f"{tracker.stage}: {run.folder} was trained, but {store.folder(key)} does not "
                    "hold it: let the workers share that folder, or name a store that they reach "
                    "by its URL in AMID_STORE (docs/scale.md)."
                )
            records[key] = record
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


def _on_gpu(runs: Sequence[PlannedRun]) -> bool:
    return any(run.spec.training.get("device") == "cuda" for run in runs)


def _processes(runs: Sequence[PlannedRun]) -> int:
    """That the job of a run has, at the most (amid.distributed)."""
    return max(run.spec.training.get("devices", 1) for run in runs)


def _summary(run: PlannedRun, record: RunRecord) -> str:
    """One line on a finished run; validation only, since the test split is for the tables."""
    head = record.selected_on
    best = record.history[record.best_epoch].get(f"validation_{head}")
    shown = "" if best is None else f": {head} {100 * best:.1f} % on validation"
    return f"{run.folder}{shown} (epoch {record.best_epoch + 1})"


def train(job: Job) -> None:
    """Trains a run, unless the store has it; Stopped when it is told to."""
    if told_to_stop():
        raise Stopped
    if job.elsewhere:
        _check_code(job.spec)
    remote = None if job.url is None else Remote(job.url)
    store = RunStore(job.store or cache_folder() / "runs", platform=job.platform, remote=remote)
    with store.lock(job.spec.key):
        if store.fetch(job.spec.key) is None:
            if store.damaged(job.spec.key):
                print(f"{store.folder(job.spec.key)} is damaged: the run is made again", flush=True)
            store.fetch_state(job.spec.key)
            try:
                _train_locked(job, store)
            except Stopped:
                store.publish_state(job.spec.key)
                raise
        store.publish(job.spec.key)


def _check_code(spec: RunSpec) -> None:
    """AmidError where the code has changed since the run was planned: its name would be wrong."""
    if spec.code != code_of(spec.method, spec.network["encoder"]):
        raise AmidError(
            f"The worker's copy of amid ({Path(__file__).parent.parent}) is not the one that the "
            "run was planned with: do not change it while jobs wait, and run the stage again."
        )


def _data_of(job: Job, remote: Remote | None) -> Path:
    """The folder of a job's data set, as the worker sees it."""
    if job.content is not None:
        return cached(remote, job.content, cache_folder() / job.content / job.data.name)
    if job.elsewhere and not job.data.exists():
        raise AmidError(
            f"A worker does not see {job.data}: share that folder with all nodes, or name a store "
            "that they reach by its URL in AMID_STORE (docs/scale.md)."
        )
    return job.data


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
        _data_of(job, store.remote),
        folder,
        parent=parent,
        teacher=teacher,
        checkpoint_every=job.checkpoint_every,
        checkpoint_minutes=job.checkpoint_minutes,
        stop=told_to_stop,
        on_start=writer.start,
        on_epoch=writer.epoch,
    )
    store.finish(record)


def _file_of(job: Job, store: RunStore, path: Path) -> Path:
    """A file of a run that others build on, which is trained now where it is missing; anew, if the
    file is damaged."""
    train(job)
    try:
        read_checkpoint(path)
    except AmidError as error:
        print(f"warning: {error} The run is trained again.", file=sys.stderr)
        with store.lock(job.spec.key):
            if not _whole(path):  # else another worker has trained it again meanwhile
                store.forget(job.spec.key)
        train(job)
    return path


def _whole(path: Path) -> bool:
    try:
        read_checkpoint(path)
    except AmidError:
        return False
    return True
