"""A sweep on a ray cluster of two nodes, one of which is killed on the way, against the local one.

    python -m tests.campaigns.ray_cluster --runs 40 --kill-after 10
    python -m tests.campaigns.ray_cluster --runs 40 --kill-after 10 --url

Both nodes are on this machine (ray.cluster_utils), with one CPU each; with --url they share no
folder with the stage but a store at a URL. The node that is not the head is killed with -9, with
all its processes, when so many runs are complete. In the end every record and every model has to
have the bytes that the local executor gave them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import amid.core.reproducible  # noqa: F401  pins kernels before torch is imported
from amid.executors import executor_from_env
from amid.runs.plan import PlannedRun
from amid.runs.scheduler import run_all
from amid.runs.store import RECORD, RunStore, open_store
from tests.runs.test_scheduler import Listener, content
from tests.small import small_run, write_data

CONFIGURATIONS = ("amid", "student_alone", "l_ft", "l_ft_l_fa", "crd")


def sweep(data: Path, runs: int) -> list[PlannedRun]:
    """So many runs: the configurations with one seed after another."""
    return [
        small_run(data, CONFIGURATIONS[n % len(CONFIGURATIONS)], n // len(CONFIGURATIONS))
        for n in range(runs)
    ]


@contextmanager
def two_nodes() -> Iterator[Any]:
    """A cluster of two nodes with one CPU each; the second is `cluster.worker_nodes`' only one."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    node = {
        "num_cpus": 1,
        "include_dashboard": False,
        "object_store_memory": 10**8,
    }
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        yield cluster
    finally:
        cluster.shutdown()


def train(
    plan: list[PlannedRun], data: Path, environment: dict[str, str], home: Path
) -> dict[str, bytes]:
    """The runs on the executor, and into the store, that the environment names; what the outs are
    made of."""
    store = open_store(environment, home)
    run_all(
        plan,
        store=store,
        data=data,
        workers=2,
        checkpoint_every=1,
        tracker=Listener(),
        executor=executor_from_env(environment),
    )
    return content(store)


@contextmanager
def killed_when(cluster: Any, due: Callable[[], bool]) -> Iterator[list[float]]:
    """Kills the second node once it is due; the times of that."""
    killed: list[float] = []
    left = threading.Event()

    def watch() -> None:
        while not left.wait(0.05):
            if due():
                cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
                killed.append(time.monotonic())
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield killed
    finally:
        left.set()
        watcher.join()


def complete(store: RunStore) -> int:
    return len(list(store.runs.glob(f"*/{RECORD}")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--kill-after", type=int, default=10)
    parser.add_argument("--url", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        os.environ["AMID_CACHE"] = str(place / "cache")
        data = write_data(place / "avlips")
        plan = sweep(data, given.runs)
        start = time.monotonic()
        local = train(plan, data, {"AMID_EXECUTOR": "local"}, place / "local")
        print(f"local: {time.monotonic() - start:.1f} s, {len(local)} files", flush=True)
        environment = {"AMID_STORE": (place / "remote").as_uri()} if given.url else {}
        seen = RunStore(place / "cache" / "runs" if given.url else place / "ray" / ".runs")
        with two_nodes() as cluster:
            environment["AMID_EXECUTOR"] = f"ray:{cluster.address}"
            start = time.monotonic()
            with killed_when(cluster, lambda: complete(seen) >= given.kill_after) as killed:
                found = train(plan, data, environment, place / "ray")
            took = time.monotonic() - start
        at = f"{killed[0] - start:.1f} s" if killed else "no time"
        wanted = {name: local[name] for name in found}
        equal = sum(found[name] == wanted[name] for name in found)
        print(f"ray: {took:.1f} s, a node killed at {at}, {equal} of {len(found)} files equal")
        # Of a store at a URL the stage has the runs that it asked for, not their warm-ups.
        whole = {run.spec.key for run in plan} <= {name.split("/")[0] for name in found}
        sys.exit(not (killed and whole and equal == len(found)))


if __name__ == "__main__":
    main()
