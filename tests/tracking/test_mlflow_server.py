"""docs/scale.md's server, by its own commands: PostgreSQL, basic auth, a stage that logs to
it, and who is not known refused. And a server that is away: no training is lost."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from amid.runs.scheduler import run_all
from amid.runs.store import RunStore
from amid.tracking import client as client_module
from amid.tracking.tracker import Tracker
from tests.small import ROOT, small_run, write_data

BINARIES = Path("/usr/lib/postgresql/15/bin")
WITHOUT_ROOT = "postgres"


def train(place: Path) -> None:
    data = write_data(place / "avlips")
    store = RunStore(place / ".runs")
    plan = [small_run(data, "student_alone")]
    with Tracker("baselines@avlips", place, {"alpha": 4.0}) as tracker:
        run_all(plan, store=store, data=data, workers=1, checkpoint_every=1, tracker=tracker)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.slow
def test_a_server_that_is_away_costs_a_sentence(tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hunter2@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    start = time.monotonic()
    train(tmp_path)
    assert time.monotonic() - start < 60
    told = capfd.readouterr()
    assert "1 runs, 1 trained" in told.out
    assert "baselines@avlips: goes on without MLflow: the server http://***@127.0.0.1" in told.err
    assert "does not answer" in told.err
    assert told.err.count("goes on without") == 1
    assert "hunter2" not in told.err
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize(
    ("uri", "meant"),
    [
        ("https://mlflow.example:5000", "https://mlflow.example:5000"),
        ("sqlite:///mlruns/mlflow.db", None),
        ("", None),
    ],
)
def test_only_a_server_is_taken_from_the_environment(uri: str, meant: str | None) -> None:
    assert client_module.server({"MLFLOW_TRACKING_URI": uri}) == meant
    assert client_module.server({}) is None


# ---------------------------------------------------------------- by the document's commands


@pytest.fixture
def blocks() -> Iterator[dict[str, str]]:
    """The document's blocks by what they start, with ports and a home of the test's own."""
    for needed in ("psycopg2", "flask_wtf"):
        pytest.importorskip(needed, reason=f"docs/scale.md's server needs {needed}")
    if not (BINARIES / "initdb").exists():
        pytest.skip(f"PostgreSQL is not in {BINARIES}")
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("PostgreSQL does not run as root, and runuser is not here")
    home = Path("/tmp") / f"amid-server-{os.getpid()}"
    home.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(home, WITHOUT_ROOT, WITHOUT_ROOT)
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    text = text.partition("\n## An MLflow server with PostgreSQL\n")[2]
    for port in ("5433", "5001"):
        text = text.replace(port, free_port())
    found = re.findall(r"```sh\n(.*?)```", text, re.S)
    named = ("database", "server", "user", "unknown", "stages")
    try:
        yield {**dict(zip(named, found, strict=False)), "home": str(home)}
    finally:
        stop = f"{BINARIES}/pg_ctl --pgdata={home}/mlflow-server/database --mode=fast stop"
        subprocess.run(as_user(stop, home), cwd="/", stdout=subprocess.DEVNULL, check=False)
        shutil.rmtree(home)


def as_user(commands: str, home: Path) -> list[str]:
    words = ["env", f"HOME={home}", "bash", "-euc", commands]
    return ["runuser", "-u", WITHOUT_ROOT, "--", *words] if os.geteuid() == 0 else words


@pytest.mark.slow(seconds=30)
def test_a_stage_logs_to_the_documents_server(blocks, tmp_path: Path, monkeypatch) -> None:
    home = blocks["home"]
    here = {
        **os.environ,
        "HOME": home,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    log = (tmp_path / "log").open("w")
    told = {"cwd": "/", "env": here, "stdout": log, "stderr": log, "timeout": 60}
    done = subprocess.run(as_user(blocks["database"], Path(home)), **told)
    assert done.returncode == 0, (tmp_path / "log").read_text()
    # What the second block finds set by the first, in the same shell.
    setting = blocks["database"].splitlines()[0]
    in_shell = f"{setting}\ncd $PLACE; export PGPASSFILE=$PLACE/pgpass\n{blocks['server']}"
    server = subprocess.Popen(
        ["bash", "-euc", in_shell], env=here, stdout=log, stderr=log, start_new_session=True
    )
    try:
        address = re.search(r"MLFLOW_TRACKING_URI=(\S+)", blocks["stages"])[1]
        wait_for(f"{address}/health", server, tmp_path / "log")
        done = subprocess.run(["bash", "-euc", blocks["user"]], **told)
        assert done.returncode == 0, (tmp_path / "log").read_text()
        words = ["bash", "-euc", blocks["unknown"]]
        assert subprocess.run(words, capture_output=True, text=True).stdout == "401\n"

        secret = (Path(home) / "mlflow-server" / "trainer.secret").read_text().strip()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "trainer")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", secret)
        train(tmp_path)
        client = client_module.open_any(tmp_path)
        runs = client.search_runs(client_module.experiments(client))
        child, parent = sorted(runs, key=lambda r: "mlflow.parentRunId" not in r.data.tags)
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.info.status == parent.info.status == "FINISHED"
        assert "best_test_student" in child.data.metrics
        assert [f.path for f in client.list_artifacts(child.info.run_id)] == ["model.safetensors"]
        assert not (tmp_path / "mlruns").exists()
    finally:
        with suppress(ProcessLookupError):  # it did not start
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
        log.close()


def wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + 150
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except urllib.error.HTTPError:  # it answers, if only to refuse
            return
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.3)
