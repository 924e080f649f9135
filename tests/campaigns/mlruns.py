"""MLflow's store against first use by many at once, and against kill -9 of who writes to it.

    python -m tests.campaigns.mlruns --processes 8 --workers 16 --metrics 1000 --kills 5 --seed 0

The stage is a real one (executor, journals, store, tracker) but for what it trains: a worker
counts, one metric an epoch, and notes where it is now and then, as a checkpoint would. Whenever the
stage or a worker was killed it is started again. A kill that comes when there is nothing left to
kill does not count: the stage begins anew. In the end every metric of every run is to be in MLflow
once, below a run that is FINISHED, and no run RUNNING.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import amid.core.reproducible  # noqa: F401  pins kernels before torch is imported
from amid.core.types import RunRecord, RunSpec
from amid.io.atomic import write_atomic
from amid.io.processes import die_with_parent
from amid.runs import multiprocess, scheduler
from amid.runs.plan import PlannedRun
from amid.runs.store import JOURNAL, MODEL, RunStore
from amid.tracking.client import experiments, open_client
from amid.tracking.tracker import Tracker
from amid.training.job import TrainingJob
from tests.recorded import record
from tests.small import ROOT, write_data

METRIC = "train_count"
NOTE_EVERY = 25  # epochs from one note of where a run is to the next
PACE = 0.03  # seconds an epoch
KILL_SECONDS = (0.5, 7.0)  # after the workers of a stage have begun
PATIENCE = 900.0  # seconds without an end, after which a stage is taken to hang


# First use


def open_at_once(root: Path, processes: int, patience: float = PATIENCE) -> int:
    """How many of so many processes came through, each with its run in the store."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes, timeout=patience)  # one may die before it gets there
    started = [context.Process(target=_use, args=(root, n, barrier)) for n in range(processes)]
    for process in started:
        process.start()
    end = time.monotonic() + 2 * patience
    for process in started:
        process.join(max(0.0, end - time.monotonic()))
        process.kill()  # one that hangs has not come through
        process.join()
    whole = {run.data.metrics["number"] for run in _runs(root) if run.info.status == "FINISHED"}
    return sum(p.exitcode == 0 and n in whole for n, p in enumerate(started))


def _use(root: Path, number: int, barrier) -> None:
    barrier.wait()
    with Tracker(f"stage{number}", root, {"number": number}) as tracker:
        tracker.log_metrics({"number": number})


# Kills


def stage(root: Path, workers: int, metrics: int) -> None:
    """One start of the stage: what a kill is aimed at."""
    multiprocess.launch = count_up
    scheduler.LOG_SECONDS, scheduler.POLL_SECONDS = 1.0, 0.2  # so that kills hit writing more often
    plan = [PlannedRun("count", f"count/seed{s.seed}", s) for s in specs(workers, metrics)]
    with Tracker("count@avlips", root, {"workers": workers}) as tracker:
        scheduler.run_all(
            plan,
            store=RunStore(root / ".runs"),
            data=root / "avlips",
            workers=workers,
            checkpoint_every=NOTE_EVERY,
            tracker=tracker,
        )


def specs(workers: int, metrics: int) -> list[RunSpec]:
    made = [record({"student": 1}, seed).spec.to_dict() for seed in range(workers)]
    return [RunSpec.from_dict({**values, "training": {"epochs": metrics}}) for values in made]


def count_up(job: TrainingJob) -> RunRecord:
    """In place of training, which it resumes from the last note."""
    spec, note = job.spec, job.folder / "note.json"
    done = json.loads(note.read_text()) if note.exists() else 0
    history = [{METRIC: value(spec.seed, epoch)} for epoch in range(spec.training["epochs"])]
    job.on_start(done, history)
    for epoch in range(done, len(history)):
        job.on_epoch(epoch, history[epoch])
        time.sleep(PACE * (1 + spec.seed % 4) / 4)
        if (epoch + 1) % NOTE_EVERY == 0:
            write_atomic(note, json.dumps(epoch + 1).encode())
    write_atomic(job.folder / MODEL, b"weights")
    values = {**vars(record({"student": 1})), "spec": spec, "history": history}
    return RunRecord(**{**values, "best_epoch": len(history) - 1})


def value(seed: int, epoch: int) -> float:
    return seed + epoch / 4096


def kill_and_restart(
    root: Path, workers: int, metrics: int, kills: int, seed: int, patience: float = PATIENCE
) -> int:
    """Starts the stage until it ends well, killing it `kills` times; how often it was started."""
    write_data(root / "avlips")
    chosen, killed = random.Random(seed), 0
    for start in range(1, kills + 100):
        process = _start(root, workers, metrics)
        if killed == kills:
            if _ended(process, root, patience) == 0:
                return start
            continue
        _wait_until_counting(process, root, patience)
        time.sleep(chosen.uniform(*KILL_SECONDS))
        aim = chosen.choice(["stage", "worker"])
        if not _killed(process, aim, chosen):
            _ended(process, root, patience)
            for name in (".runs", "mlruns"):
                shutil.rmtree(root / name)
            continue
        killed += 1
        code = _ended(process, root, patience)
        print(f"kill {killed} of {kills}: the {aim}; it ended with {code}", flush=True)
        _wait_until_alone(process.pid)
    raise AssertionError("the stage never ended well: count more metrics?")


def _killed(process: subprocess.Popen, aim: str, chosen: random.Random) -> bool:
    """Kills the stage or one of its workers, unless all have ended."""
    if process.poll() is not None:
        return False
    victims = [str(process.pid)]
    if aim == "worker":
        try:
            victims = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        except FileNotFoundError:
            return False
    try:
        os.kill(int(chosen.choice(victims)), signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        return False
    return True


def _start(root: Path, workers: int, metrics: int) -> subprocess.Popen:
    words = ["--stage", str(root), "--workers", str(workers), "--metrics", str(metrics)]
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.campaigns.mlruns", *words]
    with (root / "stage.log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)


def _ended(process: subprocess.Popen, root: Path, patience: float) -> int:
    """The exit code of a stage; of one that hangs the error shows where each of its threads is."""
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        raise _hangs(process, root) from None


def _hangs(process: subprocess.Popen, root: Path) -> AssertionError:
    process.send_signal(signal.SIGABRT)
    process.wait()
    return AssertionError(f"a stage hangs: {(root / 'stage.log').read_text()}")


def _wait_until_counting(process: subprocess.Popen, root: Path, patience: float) -> None:
    """Until a worker of this start has written to its journal."""
    begun, end = time.time(), time.monotonic() + patience
    while process.poll() is None:
        if time.monotonic() > end:
            raise _hangs(process, root)
        journals = list((root / ".runs").glob(f"*/*/{JOURNAL}"))
        if any(path.stat().st_mtime > begun for path in journals):
            return
        time.sleep(0.05)


def _wait_until_alone(group: int) -> None:
    """Workers are in the stage's session, and die with it."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("workers outlived the stage that was killed")


def logged(root: Path, workers: int, metrics: int) -> tuple[int, int, int]:
    """(metrics that are there once and right, all metrics of finished runs, runs RUNNING)"""
    client = open_client(root)
    runs = _runs(root)
    right = total = 0
    for run in runs:
        if run.info.status != "FINISHED" or "amid.run" not in run.data.tags:
            continue
        history = client.get_metric_history(run.info.run_id, METRIC)
        total += len(history)
        seed = int(run.data.tags["seed"])
        steps = [metric.step for metric in history]
        right += sum(
            steps.count(metric.step) == 1 and metric.value == value(seed, metric.step - 1)
            for metric in history
        )
    return right, total, sum(run.info.status == "RUNNING" for run in runs)


def _runs(root: Path) -> list:
    client = open_client(root)
    return client.search_runs(experiments(client), max_results=1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--metrics", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds a stage may take")
    parser.add_argument("--stage", type=Path, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.stage is not None:
        die_with_parent(os.getppid())  # a campaign that is killed leaves no stage behind
        return stage(words.stage, words.workers, words.metrics)
    print(f"seed {words.seed}")
    with tempfile.TemporaryDirectory() as name:
        came = open_at_once(Path(name), words.processes, words.patience)
    print(f"{came}/{words.processes} processes came through on a fresh mlruns", flush=True)
    with tempfile.TemporaryDirectory() as name:
        numbers = words.workers, words.metrics, words.kills, words.seed, words.patience
        starts = kill_and_restart(Path(name), *numbers)
        right, total, running = logged(Path(name), words.workers, words.metrics)
    wanted = words.workers * words.metrics
    print(
        f"{words.kills} kills, {starts} starts: {right}/{wanted} metrics once each "
        f"({total} in finished runs), {running} runs RUNNING; {came}/{words.processes} processes"
    )
    raise SystemExit((came, right, total, running) != (words.processes, wanted, wanted, 0))


if __name__ == "__main__":
    main()
