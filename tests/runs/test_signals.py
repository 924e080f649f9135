"""A stage that is told to end: state saved, MLflow's run KILLED, exit codes as shells expect."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from amid.core.checkpoint import read_checkpoint
from tests.small import ROOT, write_data
from tests.stores import put_store

STAGE = """
import signal, sys, time
from pathlib import Path
from amid.runs.journal import JournalWriter
from amid.runs.scheduler import run_all
from amid.runs.store import RunStore
from amid.tracking.tracker import Tracker
from stages.common import run_command
from tests.small import small_params, small_run

def main():
    place = Path(sys.argv[0])
    training = small_params().training.model_copy(update={"epochs": 100000})
    run = small_run(place / "avlips", "amid", training=training)
    with Tracker("amid@avlips", place, {}) as tracker:
        run_all([run], store=RunStore(place / ".runs"), data=place / "avlips", workers=1,
                checkpoint_every=10**6, tracker=tracker)

def epoch(*given):
    write(*given)
    time.sleep(0.2)  # which leaves the cores to the stage that starts

write, JournalWriter.epoch = JournalWriter.epoch, epoch
# Also in a test suite that a shell started with "&", which ignores Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = [sys.argv[1]]
run_command(main)
"""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[subprocess.Popen]:
    write_data(tmp_path / "avlips")
    put_store(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    yield process
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stage_ends_within_five_seconds_and_keeps_its_state(
    number, code, stage, tmp_path
) -> None:
    database = tmp_path / "mlruns" / "mlflow.db"

    def statuses() -> list[str]:
        if not database.exists():
            return []
        with closing(sqlite3.connect(database)) as store:
            return [status for (status,) in store.execute("select status from runs")]

    until = time.monotonic() + 90
    while not (statuses() and list(tmp_path.glob(".runs/*/*/journal.jsonl"))):
        assert time.monotonic() < until, "the stage did not start"
        assert stage.poll() is None, stage.stderr.read().decode()
        time.sleep(0.1)
    time.sleep(0.3)
    start = time.monotonic()
    # Ctrl-C reaches all processes of the terminal, SIGTERM the stage alone.
    (os.killpg if number == signal.SIGINT else os.kill)(stage.pid, number)
    assert stage.wait(timeout=30) == code, stage.stderr.read().decode()
    # five seconds where a core is free for it
    assert time.monotonic() - start < 5 * max(1.0, os.getloadavg()[0] / os.cpu_count())
    saved = [read_checkpoint(path) for path in tmp_path.glob(".runs/*/*/checkpoint.safetensors")]
    assert max(state["epoch"] + state["position"] for _, state in saved) > 0
    assert not list(tmp_path.glob(".runs/*/*/record.json")) or len(saved) == 2  # its warm-up's
    assert set(statuses()) == {"KILLED"}
