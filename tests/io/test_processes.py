"""Children die with their parent, and a name has one holder at a time."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from amid.errors import AmidError
from amid.io.processes import only_copy
from tests.maintenance.test_repair import wait_for
from tests.small import ROOT

HOLDER = """
import sys, time
from pathlib import Path
from amid.io.processes import only_copy
with only_copy("amid@avlips", Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
POOL = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from amid.io.processes import die_with_parent

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(2, context, die_with_parent, (os.getpid(),))
    for _ in range(2):
        pool.submit(time.sleep, 60)
    print(*pool._processes, flush=True)
    time.sleep(60)
"""


def python(*words: str, **options) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *words], env=environment, stdout=subprocess.PIPE, text=True, **options
    )


def test_a_second_copy_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    first = python("-c", HOLDER, str(tmp_path))
    try:
        assert first.stdout.readline() == "held\n"
        for _ in range(2):  # a refusal does not lose the holder's number
            with (
                pytest.raises(AmidError, match=f"run by process {first.pid} already"),
                only_copy("amid@avlips", tmp_path),
            ):
                pass
        with only_copy("amid@grid", tmp_path):
            pass
    finally:
        first.kill()
        first.wait()
    with only_copy("amid@avlips", tmp_path):
        assert (tmp_path / "amid@avlips.lock").read_text() == f"{os.getpid()}\n"


def test_a_stage_refuses_in_one_sentence_and_other_commands_take_no_lock(tmp_path: Path) -> None:
    with only_copy("table@table4", tmp_path / ".runs" / "locks"):
        second = python("-m", "stages.table", "table4", cwd=tmp_path, stderr=subprocess.PIPE)
        _, error = second.communicate()
    assert second.returncode == 1
    assert error == (
        f"error: table@table4 is being run by process {os.getpid()} already: wait for it, or stop "
        "it (`python -m stages.repair` ends one whose dvc is dead).\n"
    )
    before = sorted((tmp_path / ".runs" / "locks").iterdir())
    python("-m", "stages.compare", ".", ".", cwd=tmp_path, stderr=subprocess.DEVNULL).communicate()
    assert sorted((tmp_path / ".runs" / "locks").iterdir()) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children")
def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    parent = python(str(script))
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(map(alive, workers)))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_every_pool_ties_its_workers_to_their_parent() -> None:
    pools = [
        (path.relative_to(ROOT).as_posix(), ast.unparse(node))
        for path in (ROOT / "amid").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("ProcessPoolExecutor")
    ]
    assert {name for name, _ in pools} == {
        "amid/datasets/avlips/recording.py",
        "amid/executors/local.py",
        "amid/serving/export.py",
    }
    for name, call in pools:
        assert "die_with_parent" in call or "_start_worker" in call, (name, call)
