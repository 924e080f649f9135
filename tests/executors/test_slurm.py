"""The slurm executor by submitit's own stand-in for Slurm: the same bytes, and no work lost to a
preemption."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from amid.core.checkpoint import read_checkpoint
from amid.errors import AmidError, ConfigError
from amid.executors import WorkerLost, executor_from_env, slurm
from amid.executors.slurm import options
from amid.runs import journal
from amid.runs.scheduler import run_all
from amid.runs.store import CHECKPOINT, JOURNAL, RunStore
from tests.executors.jobs import doubled, ended, waiting
from tests.runs.test_scheduler import Listener, content
from tests.small import small_params, small_run, write_data

pytest.importorskip("submitit", reason="submitit is not installed: requirements-scale.txt")


@pytest.fixture
def local(tmp_path: Path):
    return executor_from_env({"AMID_EXECUTOR": "slurm:local", "DVC_ROOT": str(tmp_path)})


def test_options_are_json_or_a_file_of_it(tmp_path: Path) -> None:
    path = tmp_path / "slurm.json"
    path.write_text('{"partition": "gpu", "timeout_min": 30}\n')
    expected = {"partition": "gpu", "timeout_min": 30}
    assert options({"AMID_SLURM": str(path)}) == expected
    assert options({"AMID_SLURM": path.read_text()}) == expected
    assert options({}) == {}


@pytest.mark.parametrize("given", ["{", "partition=gpu", "[1]", "{'a': 1}", "/no/file"])
def test_other_options_are_a_sentence(given: str, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[1]")
    given = str(tmp_path / "list.json") if given == "[1]" else given
    with pytest.raises(ConfigError, match="AMID_SLURM") as caught:
        options({"AMID_SLURM": given})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", ['{"gpus": 1, "no_such": 2}', '{"timeout_min": "long"}'])
def test_an_option_that_submitit_refuses_is_a_sentence(given: str, tmp_path: Path) -> None:
    environment = {"AMID_SLURM": given, "DVC_ROOT": str(tmp_path), "AMID_EXECUTOR": "slurm:local"}
    with pytest.raises(ConfigError, match="AMID_SLURM has an option that submitit refuses"):
        executor_from_env(environment).pool(1, jobs=1)


def test_without_slurm_there_is_a_sentence(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    executor = executor_from_env({"AMID_EXECUTOR": "slurm", "DVC_ROOT": str(tmp_path)})
    with pytest.raises(ConfigError, match="use a login node, or slurm:local"):
        executor.pool(1, jobs=1)


SBATCH = """#!/bin/sh
if [ ! -e {place}/tried ]; then touch {place}/tried; echo "sbatch: error: {error}" >&2; exit 1; fi
cp "$1" {place}/sbatch.sh
echo Submitted batch job 77
"""


def stand_ins(folder: Path, error: str, monkeypatch) -> None:
    """Commands of Slurm's; sbatch refuses once, with an error."""
    for name, text in {"sbatch": SBATCH, "srun": "#!/bin/sh\n", "squeue": "#!/bin/sh\n"}.items():
        command = folder / name
        command.write_text(text.format(place=folder, error=error))
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(slurm, "PAUSES", (0.0,))


def test_what_sbatch_refuses_for_good_reaches_the_stage(tmp_path: Path, monkeypatch) -> None:
    stand_ins(tmp_path, "invalid partition specified: night", monkeypatch)
    environment = {"AMID_EXECUTOR": "slurm", "DVC_ROOT": str(tmp_path)}
    future = (pool := executor_from_env(environment).pool(1, jobs=1)).submit(doubled, 1)
    with pytest.raises(
        AmidError, match=r"^sbatch refuses the jobs \(.*invalid partition .*AMID_SLURM"
    ):
        future.result(timeout=10)
    pool._watcher.join()
    assert not (tmp_path / "sbatch.sh").exists()


def test_jobs_are_one_array_with_pins_and_options(tmp_path: Path, monkeypatch) -> None:
    """sbatch and srun are stand-ins: what Slurm would be given is looked at. The controller is busy
    at first."""
    stand_ins(tmp_path, "Socket timed out on send/recv operation", monkeypatch)
    (tmp_path / ".runs" / "slurm").mkdir(parents=True, mode=0o755)
    environment = {"AMID_EXECUTOR": "slurm", "DVC_ROOT": str(tmp_path)}
    environment["AMID_SLURM"] = '{"partition": "night", "gres": "gpu:1", "timeout_min": 30}'
    pool = executor_from_env(environment).pool(2, jobs=3)
    for job in range(3):
        pool.submit(doubled, job)
    until = time.monotonic() + 10
    while not (script := tmp_path / "sbatch.sh").exists() and time.monotonic() < until:
        time.sleep(0.05)
    lines = script.read_text().splitlines()
    for line in ("--array=0-2%2", "--partition=night", "--gres=gpu:1", "--time=30"):
        assert f"#SBATCH {line}" in lines
    assert "export OMP_NUM_THREADS=1" in lines
    assert (tmp_path / ".runs" / "slurm").stat().st_mode & 0o777 == 0o700
    assert any(line.startswith("export PYTHONPATH=") for line in lines)
    pool._ended.set()
    pool._watcher.join()


@pytest.mark.slow
def test_errors_and_lost_workers_come_back_as_themselves(local) -> None:
    with local.pool(2, jobs=2) as pool:
        refused = pool.submit(doubled, -1)
        lost = pool.submit(ended, signal.SIGKILL)
    with pytest.raises(AmidError, match=r"^-1 is negative\.$"):
        refused.result()
    with pytest.raises(WorkerLost):
        lost.result()


@pytest.mark.slow
def test_a_stage_that_ends_lets_its_jobs_save(local, tmp_path: Path) -> None:
    begun = tmp_path / "job.begun"

    def leave() -> None:
        with local.pool(1, jobs=1) as pool:
            pool.submit(waiting, begun)
            while not begun.exists():
                time.sleep(0.02)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert begun.with_suffix(".saved").exists()
    assert tasks() == []


def tasks() -> list:
    """Submitit's processes that do jobs of this one's pools."""
    import psutil

    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "submitit.core._submit" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue  # ended meanwhile
    return found


@pytest.mark.slow(seconds=35)
def test_a_preempted_run_goes_on_from_its_checkpoint_to_the_same_bytes(local, tmp_path) -> None:
    data = write_data(tmp_path / "avlips")
    training = small_params().training.model_copy(update={"epochs": 150})
    plan = [small_run(data, "student_alone", training=training)]
    whole, cut = RunStore(tmp_path / "whole"), RunStore(tmp_path / "cut")
    # No checkpoint on the way: there is one because of the preemption alone.
    given = {"data": data, "workers": 1, "checkpoint_every": 10**6, "tracker": Listener()}
    run_all(plan, store=whole, **given)
    folder = cut.folder(plan[0].spec.key)
    preempted: list[tuple[float, int]] = []

    def preempt() -> None:
        while len(journal.read(folder / JOURNAL)) < 20:
            time.sleep(0.005)
        at = time.time()
        for task in tasks():
            task.send_signal(signal.SIGUSR2)  # as Slurm does
        while not (folder / CHECKPOINT).exists():
            time.sleep(0.005)
        preempted.append((at, read_checkpoint(folder / CHECKPOINT)[1]["epoch"]))

    watcher = threading.Thread(target=preempt, daemon=True)
    watcher.start()
    run_all(plan, store=cut, executor=local, **given)
    watcher.join(timeout=1)
    (at, done) = preempted[0]
    assert 20 <= done < 150
    # Epochs before it keep their times, those after it were trained by another process.
    times = [line["time"] / 1000 for line in journal.read(folder / JOURNAL)]
    assert times[19] <= at
    assert times[done] > at + 0.5
    assert len(times) == 150
    logs = "".join(path.read_text() for path in tmp_path.glob(".runs/slurm/*/*.err"))
    logs += "".join(path.read_text() for path in tmp_path.glob(".runs/slurm/*/*.out"))
    assert "Requeued job" in logs
    assert content(cut) == content(whole)
