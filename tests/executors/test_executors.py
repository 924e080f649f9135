"""The contract: which executor is chosen, what a worker refuses, what a stage is told."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from amid import executors
from amid.core.checkpoint import read_newest, write_checkpoint
from amid.core.reproducible import PINS, platform_fingerprint
from amid.errors import AmidError, ConfigError, Stopped
from amid.executors import (
    EXECUTORS,
    Call,
    WorkerLost,
    clear_stop,
    executor_from_env,
    forward_result,
    local,
    request_stop,
    stop_requested,
)
from amid.executors.local import Local
from amid.runs import journal, scheduler
from amid.runs.scheduler import RunRequest, _place, provide_run, run_all
from amid.runs.store import CHECKPOINT, open_store
from stages.common import run_stage
from stages.train import main
from tests.executors.jobs import doubled, ended, waiting
from tests.params import write_params
from tests.runs.test_scheduler import Listener
from tests.small import ROOT, small_run, write_data

KILLED_WITHOUT_A_JOB = """
import os, signal
from amid.executors.local import Local
from tests.executors.jobs import doubled

with Local().pool(2, jobs=2) as pool:
    assert [f.result() for f in [pool.submit(doubled, n) for n in range(2)]] == [0, 2]
    os.kill(list(pool._pool._processes)[{number}], signal.SIGKILL)
"""


@pytest.mark.parametrize("number", [0, 1])
def test_a_worker_that_is_killed_without_a_job_keeps_nobody_waiting(number: int) -> None:
    program = [sys.executable, "-c", KILLED_WITHOUT_A_JOB.format(number=number)]
    assert subprocess.run(program, cwd=ROOT, timeout=30, check=False).returncode == 0


KILLED_WHILE_THE_POOL_IS_LOCKED = """
import os, signal, threading
from amid.executors.local import Local
from tests.executors.jobs import doubled

def hold():
    # As the pool's own thread does from Python 3.12 on, when a worker was killed.
    with pool._pool._shutdown_lock:
        held.set()
        for worker in workers:
            worker.join()

held = threading.Event()
with Local().pool(2, jobs=2) as pool:
    assert [f.result() for f in [pool.submit(doubled, n) for n in range(2)]] == [0, 2]
    workers = list(pool._pool._processes.values())
    threading.Thread(target=hold).start()
    held.wait()
    os.kill(workers[0].pid, signal.SIGKILL)
    {then}
"""


@pytest.mark.parametrize(("then", "code"), [("pass", 0), ("raise SystemExit(3)", 3)])
def test_a_pool_that_waits_for_its_workers_does_not_keep_them_alive(then: str, code: int) -> None:
    program = [sys.executable, "-c", KILLED_WHILE_THE_POOL_IS_LOCKED.format(then=then)]
    assert subprocess.run(program, cwd=ROOT, timeout=60, check=False).returncode == code


def test_the_local_one_is_chosen_by_default() -> None:
    for environment in ({}, {"AMID_EXECUTOR": ""}, {"AMID_EXECUTOR": "local"}):
        assert isinstance(executor_from_env(environment), Local)
    assert set(EXECUTORS) == {"local", "ray", "slurm"}


UNKNOWN = ["kubernetes", "local:2", "rays", "ray:", "ray://", "ray://host", "ray:h o:1", "slurm:"]


@pytest.mark.parametrize("value", [*UNKNOWN, "slurm:remote", "Local", " ", "ray:auto; rm"])
def test_an_unknown_one_is_a_sentence_that_names_it(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        executor_from_env({"AMID_EXECUTOR": value})
    assert repr(value) in str(caught.value)
    assert "slurm:local" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("value", "package"), [("ray:auto", "ray"), ("slurm", "submitit")])
def test_a_package_that_is_absent_is_a_sentence_with_what_to_do(
    value, package, monkeypatch
) -> None:
    monkeypatch.setattr(executors, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"{package} is not installed: pip install -r") as caught:
        executor_from_env({"AMID_EXECUTOR": value})
    assert value in str(caught.value)


def test_a_stage_ends_with_exit_code_2(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMID_EXECUTOR", "cluster")
    monkeypatch.setattr("sys.argv", ["train", "baselines", "avlips"])
    write_params(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_stage(main)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: AMID_EXECUTOR is 'cluster'")
    assert not (tmp_path / "mlruns").exists()


def test_choosing_imports_no_package_of_another_executor() -> None:
    code = (
        "import sys, amid.runs.scheduler; from amid.executors import executor_from_env;"
        "executor_from_env({});"
        "sys.exit(bool({'ray', 'submitit', 'fsspec'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_results_and_errors_of_jobs_come_back_as_themselves() -> None:
    with Local().pool(2, jobs=3) as pool:
        futures = [pool.submit(doubled, job) for job in (1, -1, 3)]
    assert [futures[0].result(), futures[2].result()] == [2, 6]
    with pytest.raises(AmidError, match="-1 is negative"):
        futures[1].result()


@pytest.mark.parametrize(
    ("workers", "jobs", "gpu", "processes", "expected"),
    [
        (0, 1, False, 1, 1),
        (0, 5, False, 1, 5),  # they share four cores, and none waits for the fifth
        (0, 7, False, 1, 7),
        (0, 8, False, 1, 4),
        (0, 3, False, 2, 3),
        (0, 4, False, 2, 2),
        (0, 3, True, 1, 1),
        (2, 3, False, 1, 2),
    ],
)
def test_jobs_that_are_fewer_than_two_a_core_start_at_once(
    workers: int, jobs: int, gpu: bool, processes: int, expected: int, monkeypatch
) -> None:
    monkeypatch.setattr(local, "available_cores", lambda: 4)
    made = []
    monkeypatch.setattr(local, "LocalPool", made.append)
    Local().pool(workers, jobs=jobs, gpu=gpu, processes=processes)
    assert made == [expected]


def test_a_killed_worker_is_lost() -> None:
    with Local().pool(1, jobs=1) as pool, pytest.raises(WorkerLost):
        pool.submit(ended, signal.SIGKILL).result()


@pytest.mark.parametrize(("error", "saves"), [(KeyboardInterrupt, True), (ValueError, False)])
def test_a_stage_that_ends_stops_its_workers(tmp_path: Path, error, saves) -> None:
    begun = tmp_path / "job.begun"

    def leave() -> None:
        with Local().pool(1, jobs=2) as pool:
            for _ in range(2):
                pool.submit(waiting, begun)
            while not begun.exists():
                time.sleep(0.01)
            raise error

    start = time.monotonic()
    with pytest.raises(error):
        leave()
    assert time.monotonic() - start < executors.STOP_SECONDS + 2
    assert begun.with_suffix(".saved").exists() == saves


def test_a_stop_is_for_one_job() -> None:
    assert not stop_requested()
    request_stop(signal.SIGTERM, None)
    assert stop_requested()
    clear_stop()
    assert not stop_requested()


def test_a_worker_of_another_platform_refuses_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PINS.items():
        monkeypatch.setenv(name, value)
    call = Call.of(doubled, 4)
    assert call.platform == platform_fingerprint()
    assert call() == 8
    with pytest.raises(AmidError, match="other-processor") as caught:
        Call(doubled, 4, "other-processor")()
    assert platform_fingerprint() in str(caught.value)
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("AMID_ANY_PLATFORM", "1")
    assert Call.of(doubled, 4).platform is None
    assert Call(doubled, 4, None)() == 8
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(AmidError, match="OMP_NUM_THREADS"):
        call()


def test_what_is_passed_on_is_translated() -> None:
    for outcome in (7, ValueError("x")):
        source: Future = Future()
        target = forward_result(source, lambda error: WorkerLost(str(error)))
        if outcome == 7:
            source.set_result(outcome)
            assert target.result() == 7
        else:
            source.set_exception(outcome)
            assert str(target.exception()) == "x"
            assert isinstance(target.exception(), WorkerLost)
    cancelled: Future = Future()
    target = forward_result(cancelled, lambda error: error)
    cancelled.cancel()
    assert target.done()


# ---------------------------------------------------------------- runs, with a store elsewhere


def trained(plan, data: Path, environment: dict[str, str], home: Path):
    store, listener = open_store(environment, home), Listener()
    run_all(plan, store=store, data=data, workers=1, checkpoint_every=1, tracker=listener)
    return store, listener


def test_runs_of_a_store_at_a_url_are_trained_once_for_all_machines(tmp_path, capsys) -> None:
    data = write_data(tmp_path / "avlips")
    plan = [small_run(data, "l_ft")]
    environment = {"AMID_STORE": (tmp_path / "remote").as_uri()}
    first, listener = trained(plan, data, environment, tmp_path / "one")
    assert "1 trained" in capsys.readouterr().out
    assert [len(epochs) for epochs in listener.epochs.values()] == [6]
    second, _ = trained(plan, data, environment, tmp_path / "two")
    assert "0 trained, 1 from the store" in capsys.readouterr().out
    key = plan[0].spec.key
    assert first.record(key) == second.record(key)
    assert first.model(key).read_bytes() == second.model(key).read_bytes()
    # What a machine has, but the store has not, is there again after somebody asks for it.
    shutil.rmtree(tmp_path / "remote")
    provide_run(
        RunRequest(
            spec=plan[0].spec,
            parent=None,
            teacher=None,
            checkpoint_every=1,
            checkpoint_minutes=1.0,
            token="",
            **_place(plan, first, data, Local()),
        )
    )
    assert open_store(environment, tmp_path / "three").fetch(key) == first.record(key)


def test_a_run_that_is_told_to_stop_goes_on_on_another_node(tmp_path: Path, monkeypatch) -> None:
    """Both nodes have the store at a URL, and data from it, and no folder in common."""
    data = write_data(tmp_path / "avlips")
    run = small_run(data, "student_alone")
    whole, _ = trained([run], data, {}, tmp_path / "whole")
    store = open_store({"AMID_STORE": (tmp_path / "remote").as_uri()}, tmp_path / "stage")
    job = RunRequest(
        spec=run.spec,
        parent=None,
        teacher=None,
        checkpoint_every=100,
        checkpoint_minutes=1e9,
        token="one",
        **_place([run], store, data, Forgetful()),
    )
    shutil.rmtree(data)
    state = f"states/{store.platform}/{run.spec.key}"
    for node, batches in (("first", 12), ("second", 9), ("third", None)):
        monkeypatch.setenv("AMID_CACHE", str(tmp_path / node))
        calls = iter(range(10**6))
        monkeypatch.setattr(
            scheduler, "stop_requested", lambda calls=calls, last=batches: next(calls) == last
        )
        if batches is None:
            provide_run(job)
        else:
            with pytest.raises(Stopped):
                provide_run(job)
        assert store.remote.exists(state) == (batches is not None)
    record = store.fetch(run.spec.key)
    assert record == whole.record(run.spec.key)
    assert store.model(run.spec.key).read_bytes() == whole.model(run.spec.key).read_bytes()
    steps = [len(journal.read(path)) for path in sorted(tmp_path.glob("*/runs/*/*/journal.jsonl"))]
    assert steps == [2, 4, 6]  # epochs done: 40 samples in batches of 8, 12 and 9 batches


def test_a_store_in_a_folder_is_shared_as_it_is(tmp_path: Path) -> None:
    shared = open_store({"AMID_STORE": str(tmp_path / "shared")}, tmp_path / "home")
    assert (shared.root, shared.remote) == (tmp_path / "shared", None)
    usual = open_store({"AMID_STORE": ""}, tmp_path / "home")
    assert (usual.root, usual.remote) == (tmp_path / "home" / ".runs", None)
    assert open_store({"AMID_STORE": "~/amid"}, tmp_path).root == Path.home() / "amid"


def test_the_state_before_serves_where_the_last_one_is_lost(tmp_path: Path) -> None:
    environment = {"AMID_STORE": (tmp_path / "remote").as_uri()}
    one, two = (open_store(environment, tmp_path / name) for name in ("one", "two"))
    for store, epochs in ((one, (3, 4)), (two, (1, 2))):
        for epoch in epochs:
            state = {"epoch": epoch, "position": 0}
            write_checkpoint(store.folder("k") / CHECKPOINT, {}, state, keep=True)
    (one.folder("k") / CHECKPOINT).unlink()  # by a kill between two renames
    one.publish_state("k")
    two.fetch_state("k")
    assert read_newest(two.folder("k") / CHECKPOINT)[1]["epoch"] == 3


class Forgetful:
    """An executor whose workers do not share the stage's folders, and say nothing of it."""

    here = False

    def pool(self, workers: int, *, jobs: int, gpu: bool = False, processes: int = 1):
        return Local().pool(1, jobs=jobs)


def test_workers_without_the_stages_folders_are_told_of(tmp_path: Path, monkeypatch) -> None:
    data = write_data(tmp_path / "avlips")
    given = {"data": data, "workers": 1, "checkpoint_every": 1, "tracker": Listener()}
    plan, executor = [small_run(data, "student_alone")], Forgetful()
    store = open_store({}, tmp_path)
    data.rename(tmp_path / "elsewhere")
    monkeypatch.setattr(scheduler, "check_data", lambda *_: None)
    with pytest.raises(AmidError, match=r"A worker does not see .*avlips: share that folder"):
        run_all(plan, store=store, executor=executor, **given)
    monkeypatch.setattr(scheduler, "provide_run", forgotten)
    with pytest.raises(AmidError, match="does not hold it: let the workers share that folder"):
        run_all(plan, store=store, executor=executor, **given)


def forgotten(job: object) -> None:
    """Trains where nobody sees it."""


def test_a_worker_with_other_code_refuses_a_run(tmp_path: Path) -> None:
    from dataclasses import replace

    data = write_data(tmp_path / "avlips")
    run = small_run(data, "student_alone")
    plan = [replace(run, spec=replace(run.spec, code="0" * 20))]
    given = {"data": data, "workers": 1, "checkpoint_every": 1, "tracker": Listener()}
    with pytest.raises(AmidError, match="not the one that the run was planned with"):
        run_all(plan, store=open_store({}, tmp_path), executor=Forgetful(), **given)
