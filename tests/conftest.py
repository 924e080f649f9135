"""What all tests share: pinned kernels, the repository's root, small run specifications."""

import amid.core.reproducible  # isort: skip  pins kernels before torch, numpy and OpenCV load

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.warm import started

ROOT = Path(__file__).resolve().parent.parent
# Where stages go to in the shell that tests are started from is no concern of theirs.
for name in ("AMID_EXECUTOR", "AMID_STORE", "AMID_MIRROR", "AMID_WORKERS", "MLFLOW_TRACKING_URI"):
    os.environ.pop(name, None)
assert amid.core.reproducible.PINS.items() <= dict(os.environ).items()


def pytest_configure(config: pytest.Config) -> None:
    """xdist would begin with the groups of most tests."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` the tests of a file go to one worker, but for those with an
    `xdist_group` of their own, and the longest groups first: none is left for the end.

    How long they take is the `seconds` of their markers `slow`.
    """
    if not config.getoption("loadgroup", False):
        return
    seconds: Counter[str] = Counter()
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(ROOT).as_posix()))
        slow = item.get_closest_marker("slow")
        seconds[_group(item)] += slow.kwargs.get("seconds", 0) if slow else 0
    items.sort(key=lambda item: -seconds[_group(item)])


def _group(item: pytest.Item) -> str:
    return item.get_closest_marker("xdist_group").args[0]


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
