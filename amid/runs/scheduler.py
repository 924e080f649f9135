"""Trains the runs of a stage on an executor, each once, and logs them to MLflow."""

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

from amid.core.checkpoint import read_checkpoint
from amid.core.reproducible import say_if_not_portable
from amid.core.types import RunRecord, RunSpec
from amid.errors import AmidError, Stopped
from amid.executors import Executor, WorkerLost, stop_requested
from amid.executors.local import Local
from amid.io.content_store import ContentStore, cache_folder, cached, content_name, contents
from amid.io.progress import Progress
from amid.runs import journal, multiprocess
from amid.runs.embeddings import check_data, files_read
from amid.runs.plan import PlannedRun, code_of_run
from amid.runs.store import JOURNAL, RunStore
from amid.tracking.tracker import Tracker
from amid.training.job import CHECKPOINT, TrainingJob

POLL_SECONDS = 2.0
# Between two writes of a run's epochs to MLflow, each of which costs what 100 epochs cost.
LOG_SECONDS = 15.0


@dataclass(frozen=True)
class RunRequest:
    """A run as a worker is asked for it: what to train, and where its files are.

    spec, parent, teacher: the run, its warm-up and its fixed teacher.
    store: folder of the run store; None for one of the worker's own.
    url: where the runs are kept as well, None for nowhere else.
    platform: name of the platform, as in the run store.
    data: folder of the data set. With `content`, the name of that folder in the store at `url`,
        from which the worker fetches it.
    elsewhere: the worker may have another copy of amid than the stage.
    checkpoint_every, checkpoint_minutes: as in TrainingJob.
    token: first line of the journal (amid.runs.journal).
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
    """Trains the runs that are not in the store and returns the records of all by key.

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
        say_if_not_portable()
        token = uuid.uuid4().hex
        place = _place(missing, store, data, executor)
        requests = {
            run.spec.key: RunRequest(
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
        if isinstance(executor, Local):
            load_late_imports()
        with executor.pool(
            workers, jobs=len(missing), gpu=_on_gpu(missing), processes=_processes(missing)
        ) as pool:
            # Before the tracker and the progress bar start threads: local workers are forked.
            futures = {
                pool.submit(provide_run, request): unique[key] for key, request in requests.items()
            }
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


def load_late_imports() -> None:
    """Imports what torch's optimisers would import in each forked worker, for 2 s of a core."""
    import torch._dynamo  # noqa: F401


def _place(
    runs: Sequence[PlannedRun], store: RunStore, data: Path, executor: Executor
) -> dict[str, Any]:
    """The fields of a RunRequest that say where files are. Data, warm-ups and teachers that the
    workers fetch from the store are pushed there."""
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
    """Logs the journals to MLflow until all runs are done."""
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
    """Largest number of processes of one run (amid.core.distributed)."""
    return max(run.spec.training.get("processes", 1) for run in runs)


def _summary(run: PlannedRun, record: RunRecord) -> str:
    """One line on a finished run; validation only, since the test split is for the tables."""
    head = record.selected_on
    best = record.history[record.best_epoch].get(f"validation_{head}")
    shown = "" if best is None else f": {head} {100 * best:.1f} % on validation"
    return f"{run.folder}{shown} (epoch {record.best_epoch + 1})"


def provide_run(request: RunRequest) -> None:
    """Trains a run, unless the store has it. Raises Stopped if the worker has to stop."""
    if stop_requested():
        raise Stopped
    if request.elsewhere:
        _check_code(request.spec)
    remote = None if request.url is None else ContentStore(request.url)
    store = RunStore(
        request.store or cache_folder() / "runs", platform=request.platform, remote=remote
    )
    with store.lock(request.spec.key):
        if store.fetch(request.spec.key) is None:
            if store.damaged(request.spec.key):
                print(
                    f"{store.folder(request.spec.key)} is damaged: the run is made again",
                    flush=True,
                )
            store.fetch_state(request.spec.key)
            try:
                _train_locked(request, store)
            except Stopped:
                store.publish_state(request.spec.key)
                raise
        store.publish(request.spec.key)


def _check_code(spec: RunSpec) -> None:
    """Raises AmidError if the code has changed since the run was planned and named."""
    if spec.code != code_of_run(spec):
        raise AmidError(
            f"The worker's copy of amid ({Path(__file__).parent.parent}) is not the one that the "
            "run was planned with: do not change it while jobs wait, and run the stage again."
        )


def _data_of(request: RunRequest, remote: ContentStore | None) -> Path:
    """The folder of a job's data set, as the worker sees it."""
    if request.content is not None:
        return cached(remote, request.content, cache_folder() / request.content / request.data.name)
    if request.elsewhere and not request.data.exists():
        raise AmidError(
            f"A worker does not see {request.data}: share that folder with all nodes, or name a "
            "store that they reach by its URL in AMID_STORE (docs/scale.md)."
        )
    return request.data


def _train_locked(request: RunRequest, store: RunStore) -> None:
    """Trains the run of a request, after its teacher and its warm-up, and files its record."""
    parent = teacher = None
    if request.teacher is not None:
        needed = replace(request, spec=request.teacher, parent=None, teacher=None)
        teacher = _file_of(needed, store, store.model(request.teacher.key))
    if request.parent is not None:
        needed = replace(request, spec=request.parent, parent=None)
        parent = _file_of(needed, store, store.folder(request.parent.key) / CHECKPOINT)
    folder = store.folder(request.spec.key)
    writer = journal.JournalWriter(folder / JOURNAL, request.token)
    job = TrainingJob(
        request.spec,
        _data_of(request, store.remote),
        folder,
        parent=parent,
        teacher=teacher,
        checkpoint_every=request.checkpoint_every,
        checkpoint_minutes=request.checkpoint_minutes,
        stop=stop_requested,
        on_start=writer.start,
        on_epoch=writer.epoch,
    )
    store.finish(multiprocess.launch(job))


def _file_of(request: RunRequest, store: RunStore, path: Path) -> Path:
    """The file `path` of a run that another one needs. The run is trained if it is missing, and
    again if the file is damaged."""
    provide_run(request)
    try:
        read_checkpoint(path)
    except AmidError as error:
        print(f"warning: {error} The run is trained again.", file=sys.stderr)
        with store.lock(request.spec.key):
            if not _readable(path):  # else another worker has trained it again meanwhile
                store.forget(request.spec.key)
        provide_run(request)
    return path


def _readable(path: Path) -> bool:
    try:
        read_checkpoint(path)
    except AmidError:
        return False
    return True
