"""MLflow stores for tests that are not about how one is made: its tables cost 3 s of a core."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from amid.tracking.client import STORE, open_client


def put_store(place: Path) -> None:
    """A store without runs below `place`, as its first stage would make it."""
    folder = place / "mlruns"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STORE).write_bytes(_empty())


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        open_client(Path(folder))
        return (Path(folder) / "mlruns" / STORE).read_bytes()
