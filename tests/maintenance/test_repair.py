"""What killed processes leave is mended, and nothing is touched while a dvc is at work."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from dvc.rwlock import SCHEMA
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import YAMLFileCorruptedError, parse_yaml
from voluptuous import Invalid

from amid.maintenance.repair import dvc_at_work, holders_of, is_whole, repair
from tests.small import ROOT

LOCK = """schema: '2.0'
stages:
  extract@avlips:
    cmd: python -m stages.extract avlips
    deps:
    - path: amid/data/extraction.py
      hash: md5
      md5: 60b725f10c9c85c70d97880dfe8191b3
      size: 21034
    params:
      dataset/avlips.yaml:
        target: video
    outs:
    - path: data/avlips/features
      hash: md5
      md5: 10c9c85c70d97880dfe8191b360b725f.dir
      size: 129
      nfiles: 4
      isexec: true
"""
DEAD = 2**22 + 1  # above any pid_max


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    return tmp_path


def rwlock(place: Path, pid: int) -> Path:
    entry = {"pid": pid, "cmd": "dvc repro"}
    path = place / ".dvc" / "tmp" / "rwlock"
    path.write_text(json.dumps({"write": {"/a": entry}, "read": {"/b": [entry], "/c": []}}))
    return path


def dvc_reads(text: str) -> bool:
    try:
        COMPILED_LOCKFILE_SCHEMA(parse_yaml(text, "dvc.lock"))
    except (YAMLFileCorruptedError, Invalid):
        return False
    return True


def test_a_lock_cut_anywhere_is_whole_when_dvc_can_read_it() -> None:
    cuts = [LOCK[:length] for length in range(len(LOCK) + 1)]
    answers = [dvc_reads(cut) for cut in cuts]
    assert [is_whole(cut) for cut in cuts] == answers
    assert answers[-1]
    assert not answers[0]
    assert 0.1 < sum(answers) / len(answers) < 0.9


def test_committed_locks_are_whole() -> None:
    locks = [ROOT / "dvc.lock", *ROOT.glob("pipelines/**/dvc.lock")]
    assert locks
    assert all(is_whole(path.read_text()) for path in locks if path.exists())


def test_a_rwlock_cut_anywhere_is_read_when_dvc_can_read_it(place: Path) -> None:
    text = rwlock(place, 77).read_text()
    assert holders_of(text) == {77}
    odd = ["[]", "3", '{"write": {"/a": 3}}', '{"read": {"/a": {}}}', '{"write": []}', "{}"]
    for cut in (*odd, *(text[:length] for length in range(len(text)))):
        try:
            SCHEMA(json.loads(cut))
            wanted = True
        except (ValueError, Invalid):
            wanted = False
        try:
            holders_of(cut)
            assert wanted, cut
        except ValueError:
            assert not wanted, cut


def test_torn_files_are_dropped_and_whole_ones_stay(place: Path) -> None:
    (place / "dvc.lock").write_text(LOCK)
    torn = place / "pipelines" / "train" / "dvc.lock"
    torn.parent.mkdir(parents=True)
    torn.write_text(LOCK[: LOCK.index("size") + 2])
    (place / ".dvc" / "tmp" / "rwlock").write_bytes(b"\xff{")
    store = place / ".runs" / "platform" / "key"
    store.mkdir(parents=True)
    parts = [
        store / f".model.safetensors.{DEAD}.part",
        place / f".params.yaml.{DEAD}.part",
        place / "data" / f".asked.{DEAD}.part",
        place / "data" / "avlips" / f".extract.json.{DEAD}.part",
        place / "pipelines" / "train" / "asked" / f".dvc.yaml.{DEAD}.part",
        place / "reports" / f".table1.csv.{DEAD}.part",
    ]
    kept = [
        store / f".model.safetensors.{os.getpid()}.part",
        store / "model.safetensors",
        place / "data" / "avlips" / "archive.zip.part",
        place / "data" / "avlips" / "raw" / "clips" / f".of-a-user.{DEAD}.part",
        place / "archive.zip.part",
    ]
    for path in (*parts, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    assert list(repair(place)) == [
        "dropped .dvc/tmp/rwlock: it does not parse",
        "dropped pipelines/train/dvc.lock: it does not parse; its stages run again, with trained "
        "runs from the run store",
        f"dropped .params.yaml.{DEAD}.part: half written",
        f"dropped .runs/platform/key/.model.safetensors.{DEAD}.part: half written",
        f"dropped data/.asked.{DEAD}.part: half written",
        f"dropped data/avlips/.extract.json.{DEAD}.part: half written",
        f"dropped pipelines/train/asked/.dvc.yaml.{DEAD}.part: half written",
        f"dropped reports/.table1.csv.{DEAD}.part: half written",
    ]
    assert (place / "dvc.lock").read_text() == LOCK
    assert not any(path.exists() for path in (torn, *parts, place / ".dvc" / "tmp" / "rwlock"))
    assert all(path.exists() for path in kept)
    assert list(repair(place)) == []


def test_a_rwlock_of_the_dead_is_dropped_and_an_empty_one_stays(place: Path) -> None:
    path = rwlock(place, DEAD)
    assert list(repair(place)) == ["dropped .dvc/tmp/rwlock: it names dead processes only"]
    path.write_text('{"write": {}, "read": {"/b": []}}')
    assert list(repair(place)) == []
    assert path.exists()


def test_a_number_that_was_given_again_is_no_dvc(place: Path) -> None:
    path = rwlock(place, os.getpid())
    assert dvc_at_work(place) == f"dvc (process {os.getpid()})"
    os.utime(path, (1, 1))  # before this process began
    assert dvc_at_work(place) is None
    assert list(repair(place)) == ["dropped .dvc/tmp/rwlock: it names dead processes only"]


def test_nothing_is_touched_while_a_dvc_is_at_work(place: Path) -> None:
    path = rwlock(place, os.getpid())
    (place / "dvc.lock").write_text("torn")
    (line,) = repair(place)
    assert line.startswith(f"nothing repaired: dvc (process {os.getpid()}) is at work")
    path.unlink()
    with (place / ".dvc" / "tmp" / "lock").open("a+") as file:  # as dvc does between stages
        fcntl.flock(file, fcntl.LOCK_EX)
        (line,) = repair(place)
    assert "another process is at work" in line
    assert (place / "dvc.lock").read_text() == "torn"
    script = place / "dvc"  # one that has only begun
    script.write_text("import time; time.sleep(60)")
    dvc = subprocess.Popen([sys.executable, str(script)], cwd=place)
    try:
        wait_for(lambda: dvc_at_work(place) == f"dvc (process {dvc.pid})")
        assert dvc_at_work(place / "pipelines") is None
        (line,) = repair(place)
        assert line.startswith(f"nothing repaired: dvc (process {dvc.pid})")
    finally:
        dvc.kill()
        dvc.wait()
    assert len(list(repair(place))) == 1


def wait_for(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_a_stage_that_outlived_its_dvc_is_ended_and_no_other(place: Path, tmp_path: Path) -> None:
    """A stage and its worker, of this repository; the stage of another one; a user's own one."""
    code = (
        "import subprocess, sys, time\n"
        "worker = subprocess.Popen(['sleep', '60'])\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    of_dvc = {"DVC_STAGE": "pipelines/train/dvc.yaml:amid@avlips", "DVC_ROOT": str(place)}
    environments = [of_dvc, {**of_dvc, "DVC_ROOT": str(ROOT)}, {"DVC_ROOT": str(place)}]
    stages = [
        subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **environment},
                         stdout=subprocess.PIPE, text=True)
        for environment in environments
    ]  # fmt: skip
    workers = [int(stage.stdout.readline()) for stage in stages]
    try:
        lines = set(repair(place))
        assert lines == {
            f"ended process {pid} of amid@avlips, whose dvc is dead"
            for pid in (stages[0].pid, workers[0])
        }
        assert stages[0].poll() is not None
        assert [stage.poll() for stage in stages[1:]] == [None, None]
        assert all(map(psutil.pid_exists, workers[1:]))
    finally:
        for stage, worker in zip(stages, workers, strict=True):
            stage.kill()
            stage.wait()
            if psutil.pid_exists(worker):
                os.kill(worker, 9)


def command(place: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "stages.repair"], cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip


def test_the_command_costs_little_and_always_ends_well(place: Path, tmp_path: Path) -> None:
    first = command(place)
    assert (first.returncode, first.stdout) == (0, "nothing to repair\n")
    imported = {line.rpartition("|")[2].strip() for line in first.stderr.splitlines()}
    assert "amid.maintenance.repair" in imported
    assert not imported & {"torch", "mlflow", "dvc", "cv2"}
    (place / ".dvc" / "tmp" / "rwlock").write_text("")
    second = command(place)
    assert second.returncode == 0
    assert second.stdout == "dropped .dvc/tmp/rwlock: it does not parse\n"
