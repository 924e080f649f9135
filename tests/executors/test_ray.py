"""The ray executor on a cluster of two nodes: the same bytes, also when one is killed.

tests/campaigns/ray_cluster.py does the same with 40 runs.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from amid.errors import AmidError
from amid.executors import WorkerLost, executor_from_env
from amid.runs.store import RunStore
from tests.campaigns.ray_cluster import complete, killed_when, sweep, train, two_nodes
from tests.executors.jobs import doubled, ended, waiting
from tests.small import ROOT, write_data

pytestmark = [
    pytest.mark.alone,  # two nodes, one killed by the clock
    pytest.mark.skipif(find_spec("ray") is None, reason="not installed: requirements-scale.txt"),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AMID_CACHE of the nodes: they have it from where they are started."""
    return tmp_path_factory.mktemp("nodes") / "cache"


@pytest.fixture(scope="module")
def cluster(cache: Path) -> Iterator:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AMID_CACHE", str(cache))
        patched.setenv("PYTHONPATH", str(ROOT))  # for the functions of these tests
        with two_nodes() as nodes:
            yield nodes


@pytest.fixture
def address(cluster) -> str:
    return f"ray:{cluster.address}"


def test_a_cluster_that_does_not_answer_is_a_sentence(tmp_path, monkeypatch) -> None:
    import ray

    def init(*_: object, **__: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nLong advice.")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(AmidError, match="does not answer") as caught:
        executor_from_env({"AMID_EXECUTOR": "ray:auto"}).pool(1, jobs=1)
    assert "\n" not in str(caught.value)


def test_a_cluster_with_tokens_and_none_here_is_a_sentence_at_once(tmp_path, monkeypatch) -> None:
    import ray

    asked = []
    monkeypatch.setattr(ray, "init", lambda *_, **__: asked.append("init"))
    monkeypatch.setattr(ray, "nodes", list)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    for address in ("ray://head:10001", "ray:auto"):
        with pytest.raises(AmidError, match="set RAY_AUTH_TOKEN") as caught:
            executor_from_env({"AMID_EXECUTOR": address}).pool(1, jobs=1)
        assert "\n" not in str(caught.value)
    assert asked == []
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-the-head")
    executor_from_env({"AMID_EXECUTOR": "ray://head:10001"}).pool(1, jobs=1)
    assert asked == ["init"]


@pytest.mark.slow
def test_errors_and_lost_workers_come_back_as_themselves(address: str, monkeypatch) -> None:
    monkeypatch.setattr("amid.executors.ray.TRIES", 0)
    with executor_from_env({"AMID_EXECUTOR": address}).pool(0, jobs=2) as pool:
        refused = pool.submit(doubled, -1)
        lost = pool.submit(ended, signal.SIGKILL)
    with pytest.raises(AmidError, match=r"^-1 is negative\.$"):
        refused.result()
    with pytest.raises(WorkerLost):
        lost.result()


@pytest.mark.slow
def test_a_stage_that_ends_lets_its_jobs_save(address: str, tmp_path: Path) -> None:
    begun, on_sigterm = tmp_path / "job.begun", signal.getsignal(signal.SIGTERM)

    def leave() -> None:
        with executor_from_env({"AMID_EXECUTOR": address}).pool(0, jobs=1) as pool:
            assert signal.getsignal(signal.SIGTERM) is on_sigterm  # the stage's own
            pool.submit(waiting, begun)
            while not begun.exists():
                time.sleep(0.02)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert begun.with_suffix(".saved").exists()


@pytest.mark.slow
def test_a_sweep_ends_in_the_same_bytes_though_a_node_is_killed(
    cluster, address: str, cache: Path, tmp_path: Path
) -> None:
    """The nodes share no folder with the stage, but a store at a URL."""
    data = write_data(tmp_path / "avlips")
    plan = sweep(data, 5)
    local = train(plan, data, {}, tmp_path / "local")
    seen = RunStore(cache / "runs")
    environment = {"AMID_EXECUTOR": address, "AMID_STORE": (tmp_path / "remote").as_uri()}
    with killed_when(cluster, lambda: complete(seen) >= 1) as killed:
        found = train(plan, data, environment, tmp_path / "stage")
    assert killed
    assert {run.spec.key for run in plan} <= {name.split("/")[0] for name in found}
    assert found == {name: local[name] for name in found}
