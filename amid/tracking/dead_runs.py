"""Close the MLflow runs of processes that ended without closing them."""

from __future__ import annotations

import os
import platform
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from amid.tracking.client import STORE, experiments, open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient

# The processes of this host's RUNNING runs, as close_dead_runs asks for them.
LEFT = """
    SELECT process.value FROM runs
    JOIN tags AS host ON host.run_uuid = runs.run_uuid AND host.key = 'amid.host'
    JOIN tags AS process ON process.run_uuid = runs.run_uuid AND process.key = 'amid.process'
    WHERE runs.status = 'RUNNING' AND runs.lifecycle_stage = 'active' AND host.value = ?
"""


def close_dead_runs(client: MlflowClient) -> int:
    """Mark runs KILLED that are RUNNING though their process on this host is gone; how many."""
    running = client.search_runs(
        experiments(client, earlier=True),
        f"attributes.status = 'RUNNING' and tags.`amid.host` = '{platform.node()}'",
        max_results=1000,
    )
    dead = [run for run in running if not is_alive(run.data.tags.get("amid.process", ""))]
    for run in dead:
        client.set_terminated(run.info.run_id, "KILLED")
    return len(dead)


def close_left_running(root: Path) -> int:
    """`close_dead_runs` for `root`/mlruns; imports mlflow only when there is a run to close."""
    try:
        uri = (root / "mlruns" / STORE).resolve().as_uri() + "?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as database:
            processes = [process for (process,) in database.execute(LEFT, (platform.node(),))]
    except sqlite3.OperationalError:  # no store yet
        return 0
    if all(map(is_alive, processes)):
        return 0
    return close_dead_runs(open_client(root))


def process_tags() -> dict[str, str]:
    """The tags by which a run's process is found again."""
    return {"amid.host": platform.node(), "amid.process": process_identity(os.getpid())}


def process_identity(pid: int) -> str:
    """`pid:start`, with the process's start in clock ticks since boot, since pids are reused.

    Raises psutil.NoSuchProcess for a process that is gone.
    """
    since_boot = psutil.Process(pid).create_time() - psutil.boot_time()
    return f"{pid}:{round(since_boot * os.sysconf('SC_CLK_TCK'))}"


def is_alive(identity: str) -> bool:
    """Whether the process with this `process_identity` exists on this host."""
    pid = identity.partition(":")[0]
    try:
        return pid.isdigit() and process_identity(int(pid)) == identity
    except psutil.NoSuchProcess:
        return False
