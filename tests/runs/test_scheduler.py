"""The executor and the store: each run once, the same bytes whatever happens meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amid.core.checkpoint import read_checkpoint, write_checkpoint
from amid.errors import AmidError
from amid.executors.local import Local
from amid.runs import scheduler
from amid.runs.scheduler import run_all
from amid.runs.store import RECORD, RunStore
from tests.small import ROOT, small_params, small_run, write_data


class Listener:
    """Stands in for MLflow's tracker and remembers what it was told."""

    stage = "test@avlips"

    def __init__(self) -> None:
        self.epochs: dict[str, list[int]] = {}
        self.logged: list[str] = []

    def open(self) -> None:
        """There is nothing to open."""

    def log_epochs(self, run, lines) -> None:
        seen = self.epochs.setdefault(run.spec.key, [])
        seen += [line["epoch"] for line in lines]

    def log_run(self, run, record, lines, student) -> None:
        self.log_epochs(run, lines)
        assert student.exists()
        self.logged.append(record.key)

    def log_known(self, run, record, lines, student) -> None:
        assert student.exists()
        self.logged.append(record.key)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "avlips")


def run(plan, data: Path, root: Path, workers: int = 2) -> tuple[RunStore, Listener]:
    store, listener = RunStore(root), Listener()
    run_all(plan, store=store, data=data, workers=workers, checkpoint_every=1, tracker=listener)
    return store, listener


def content(store: RunStore) -> dict[str, bytes]:
    """What the outs are made of; journals hold times and are no outs."""
    names = ("record.json", "model.safetensors")
    return {
        str(path.relative_to(store.runs)): path.read_bytes()
        for path in sorted(store.runs.glob("*/*"))
        if path.name in names
    }


@pytest.mark.slow
def test_runs_are_trained_once_and_their_warm_up_with_them(data, tmp_path, capsys) -> None:
    plan = [small_run(data, name, seed) for name in ("amid", "l_ft_l_fa") for seed in (0, 1)]
    store, listener = run([*plan, plan[0]], data, tmp_path)
    assert "4 runs, 4 trained, 0 from the store" in capsys.readouterr().out
    assert len(list(store.runs.glob(f"*/{RECORD}"))) == 6  # two shared warm-ups
    assert sorted(listener.logged) == sorted(r.spec.key for r in plan)
    for key, epochs in listener.epochs.items():
        assert epochs == list(range(6)), key

    before = content(store)
    store, listener = run(plan, data, tmp_path)
    assert "4 runs, 0 trained, 4 from the store" in capsys.readouterr().out
    assert content(store) == before
    assert not listener.epochs


def test_a_fixed_teacher_is_trained_once_and_shared(data, tmp_path, capsys) -> None:
    plan = [small_run(data, name) for name in ("crd", "crcd")]
    assert plan[0].teacher == plan[1].teacher
    store, _ = run(plan, data, tmp_path)
    assert len(list(store.runs.glob(f"*/{RECORD}"))) == 3
    before = content(store)
    teacher = small_run(data, "teacher_alone")
    assert teacher.spec == plan[0].teacher  # the run of Table 4 is the one that is distilled
    run([teacher], data, tmp_path)
    assert "1 runs, 0 trained, 1 from the store" in capsys.readouterr().out
    assert content(store) == before


def test_a_fixed_teacher_that_is_not_what_it_was_stops_the_run_until_it_is_deleted(
    data, tmp_path
) -> None:
    plan = [small_run(data, "crd")]
    store, _ = run([small_run(data, "teacher_alone")], data, tmp_path)
    model = store.model(plan[0].teacher.key)
    weights, card = read_checkpoint(model)
    weights["classifier.weight"] *= -1
    write_checkpoint(model, weights, card)
    folder = store.folder(plan[0].teacher.key)
    with pytest.raises(AmidError, match=r"teacher, run .*, is right about .* tells of") as refused:
        run(plan, data, tmp_path)
    assert f"run {plan[0].spec.key} (crd on avlips, seed 0)" in str(refused.value)
    assert f"delete the folder {folder} " in str(refused.value)
    shutil.rmtree(folder)
    mended, _ = run(plan, data, tmp_path)
    fresh, _ = run(plan, data, tmp_path / "fresh")
    assert content(mended) == content(fresh)


def test_bytes_do_not_depend_on_the_number_of_workers(data, tmp_path) -> None:
    plan = [small_run(data, name) for name in ("amid", "student_alone", "l_ft")]
    one, _ = run(plan, data, tmp_path / "one", workers=1)
    three, _ = run(plan, data, tmp_path / "three", workers=3)
    assert content(one) == content(three)


def test_what_workers_need_is_imported_before_they_are_forked(data, tmp_path, monkeypatch) -> None:
    order, pool = [], Local.pool
    monkeypatch.setattr(scheduler, "load_late_imports", lambda: order.append("imports"))
    monkeypatch.setattr(Local, "pool", lambda *a, **k: order.append("pool") or pool(*a, **k))
    plan = [small_run(data, "student_alone")]
    run(plan, data, tmp_path)
    run(plan, data, tmp_path)  # nothing to train, so nothing to import
    assert order == ["imports", "pool"]


def test_a_damaged_record_is_trained_anew(data, tmp_path) -> None:
    plan = [small_run(data, "student_alone")]
    store, _ = run(plan, data, tmp_path)
    before = content(store)
    path = store.folder(plan[0].spec.key) / RECORD
    path.write_bytes(path.read_bytes()[:100])
    store, _ = run(plan, data, tmp_path)
    assert content(store) == before


def test_a_finished_run_serves_as_the_warm_up_of_a_longer_one(data, tmp_path) -> None:
    """L_FT + L_FA over 2 epochs is the warm-up of AMID with 2 warm-up epochs: one specification."""
    short = small_params().training.model_copy(update={"epochs": 2, "warmup_epochs": 1})
    first = small_run(data, "l_ft_l_fa", training=short)
    longer = small_run(data, "amid")
    assert first.spec.key == longer.parent.key
    run([first], data, tmp_path / "both")
    both, _ = run([longer], data, tmp_path / "both")
    alone, _ = run([longer], data, tmp_path / "alone")
    kept = content(both)
    assert {name: kept[name] for name in content(alone)} == content(alone)


def test_a_run_that_fails_ends_the_others_at_once(data, tmp_path) -> None:
    training = small_params().training
    long = training.model_copy(update={"epochs": 5000})
    diverging = training.model_copy(update={"learning_rate": 1e38})
    plan = [
        small_run(data, "student_alone", training=long),
        small_run(data, "student_alone", seed=1, training=diverging),
    ]
    start = time.monotonic()
    with pytest.raises(AmidError, match="diverged"):
        run(plan, data, tmp_path)
    assert time.monotonic() - start < 60  # the long one alone takes minutes


STAGE = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
import amid.core.reproducible
from tests.runs.test_scheduler import run
from tests.small import small_run, small_params

if __name__ == "__main__":
    data, store = Path(sys.argv[1]), Path(sys.argv[2])
    training = small_params().training.model_copy(update={{"epochs": 60, "checkpoint_every": 3}})
    plan = [small_run(data, "amid", seed, training=training) for seed in (0, 1)]
    run(plan, data, store)
"""


@pytest.mark.slow(seconds=80)
def test_kill_9_at_five_moments_ends_in_the_same_bytes(data, tmp_path) -> None:
    """The stage process is killed while its workers train; the workers die with it."""
    script = tmp_path / "stage.py"
    script.write_text(STAGE.format(root=str(ROOT)))

    def start(root: Path) -> subprocess.Popen:
        command = [sys.executable, str(script), str(data), str(root)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)

    assert start(tmp_path / "whole").wait(timeout=300) == 0
    whole = content(RunStore(tmp_path / "whole"))
    root = tmp_path / "cut"
    store = RunStore(root)
    kills = 0
    for moment in range(5):
        process = start(root)
        deadline = time.monotonic() + 120
        wanted = sum(1 for _ in store.runs.glob("*/checkpoint.safetensors")) and moment + 1
        while process.poll() is None and time.monotonic() < deadline:
            journals = [len(p.read_text().splitlines()) for p in store.runs.glob("*/journal.jsonl")]
            if sum(journals) > 8 * (moment + 1) + wanted:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.01)
        process.wait()
        _wait_until_alone(process.pid)
    assert kills == 5
    assert start(root).wait(timeout=300) == 0
    assert content(store) == whole


def _wait_until_alone(group: int) -> None:
    """The workers are in the stage's process session: none may outlive it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("workers outlived the stage that was killed")


def test_a_store_of_another_platform_is_left_alone(data, tmp_path) -> None:
    """Also one of before, whose name held the processor: its runs are neither used nor deleted."""
    plan = [small_run(data, "student_alone")]
    store, _ = run(plan, data, tmp_path)
    key = plan[0].spec.key
    old = tmp_path / "torch2.13.0+cpu-avx2-authenticamd.25.1-python3.11"
    store.runs.rename(old)
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    assert store.record(key) is None
    assert RunStore(tmp_path, platform=old.name).record(key) is not None
    _, listener = run(plan, data, tmp_path)
    assert listener.logged == [key]
    assert store.record(key) is not None
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before
