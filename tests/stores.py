"""MLflow stores for tests that are not about how one is made: its tables cost 3 s of a core."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from amid.tracking.client import STORE, open_client
from tests.once import once


def put_store(place: Path) -> None:
    """A store without runs below `place`, as its first stage would make it."""
    folder = place / "mlruns"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(once("empty.db", _make), folder / STORE)


def _make(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        open_client(Path(folder))
        shutil.copyfile(Path(folder) / "mlruns" / STORE, path)
