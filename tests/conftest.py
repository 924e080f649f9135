"""What all tests share: pinned kernels, the repository's root, small run specifications."""

import amid.core.reproducible  # isort: skip  pins kernels before torch, numpy and OpenCV load

import gc
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import once
from tests.warm import started

ROOT = Path(__file__).resolve().parent.parent
# Where stages go to in the shell that tests are started from is no concern of theirs.
for name in ("AMID_EXECUTOR", "AMID_STORE", "AMID_MIRROR", "AMID_WORKERS", "MLFLOW_TRACKING_URI"):
    os.environ.pop(name, None)
assert amid.core.reproducible.PINS.items() <= dict(os.environ).items()


# The collector walks all that a worker has imported: seldom is enough.
gc.set_threshold(100_000, 20, 100)

# Long tests each case of which may go to a worker of its own, apart from the rest of its file.
APART = {
    "test_another_processor_gives_the_committed_bits",
    "test_what_additions_can_break_is_whole",
}


def pytest_configure(config: pytest.Config) -> None:
    if once.begin():
        config.add_cleanup(once.end)


def group(nodeid: str) -> str:
    """What xdist gives to one worker with `--dist loadfile`: a file, or a test of APART."""
    file, _, name = nodeid.partition("::")
    return nodeid if name.partition("[")[0] in APART else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """By `group`, in the order in which tests were collected."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Groups(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    config.option.loadscopereorder = False  # else the groups of most tests begin
    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest groups first, so that no worker has one left when the others are done.

    How long they take is the `seconds` of their markers `slow`; without any the order stays.
    """
    seconds: Counter[str] = Counter()
    for item in items:
        slow = item.get_closest_marker("slow")
        seconds[group(item.nodeid)] += slow.kwargs.get("seconds", 0) if slow else 0
    items.sort(key=lambda item: -seconds[group(item.nodeid)])


def pytest_sessionfinish() -> None:
    """At its end pytest collects five times, and Python again: once is enough."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def routed() -> None:
    """torch computes as it does when runs are trained, whichever test is first; torch itself is
    there unless only tests that do without it were chosen."""
    if "torch" in sys.modules:
        from amid.core.portable import route_to_numpy

        route_to_numpy()


@pytest.fixture
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture
def shared() -> Path:
    """Reference data beside the repository; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the reference data (../shared) is not here")
    return folder


@pytest.fixture
def in_process(monkeypatch) -> None:
    """Files are decoded by the test's own process, where what it replaced is replaced."""
    monkeypatch.setattr(
        "amid.data.decoding.guarded", lambda decode, tasks, *_, **__: map(decode, tasks)
    )


@pytest.fixture(scope="session")
def warm() -> Iterator[Path]:
    """A folder for the beginning of PATH, whose `python` starts stages fast (tests/warm.py)."""
    with started() as folder:
        yield folder
