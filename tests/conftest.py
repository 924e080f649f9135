"""What all tests share: pinned kernels, the repository's root, small run specifications."""

import amid.core.reproducible  # isort: skip  pins kernels before torch, numpy and OpenCV load

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Where stages go to in the shell that tests are started from is no concern of theirs.
for name in ("AMID_EXECUTOR", "AMID_STORE", "AMID_MIRROR", "AMID_WORKERS", "MLFLOW_TRACKING_URI"):
    os.environ.pop(name, None)
assert amid.core.reproducible.PINS.items() <= dict(os.environ).items()


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
