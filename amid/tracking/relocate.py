"""Let the artifacts of a local MLflow store follow a project that was moved or copied.

MLflow writes where artifacts lie into its database, as absolute addresses: of each experiment when
it is made, and of each run, logged model and model version.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

# Each table with the column that holds an address, and the columns that name a row of it.
ADDRESSES = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}
OURS = "/mlruns/artifacts"


def relocate(database: Path, artifacts: str, experiments: str) -> list[str]:
    """Rewrite the addresses of `database` that lie below an earlier place of its artifacts.

    artifacts: the URI of the folder where they are now. experiments: how the names of this
    project's experiments begin; where these say that their artifacts lie is the earlier place. An
    artifact that is not in the new folder but still in the earlier one keeps its address. Returns
    the earlier places, as URIs; nothing is written where there are none.
    """
    with closing(sqlite3.connect(database, timeout=60)) as store, store:
        found = store.execute(
            "SELECT DISTINCT artifact_location FROM experiments WHERE name LIKE ? || '%'",
            (experiments,),
        )
        earlier = [uri for (uri,) in found if uri and uri != artifacts and uri.endswith(OURS)]
        earlier = [uri for uri in earlier if uri.startswith("file:")]
        for uri in earlier:
            for table, column in ADDRESSES.items():
                _rewrite(store, table, column, uri, artifacts)
    return earlier


def _rewrite(store: sqlite3.Connection, table: str, column: str, old: str, new: str) -> None:
    below = f"{old}/"
    rows = store.execute(
        f"SELECT rowid, {column} FROM {table} WHERE {column} = ? OR substr({column}, 1, ?) = ?",
        (old, len(below), below),
    ).fetchall()
    changed = []
    for row, uri in rows:
        there = new + uri[len(old) :]
        if table == "experiments" or _path(there).exists() or not _path(uri).exists():
            changed.append((there, row))
    store.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", changed)


def _path(uri: str) -> Path:
    from urllib.request import url2pathname

    return Path(url2pathname(uri.removeprefix("file://")))
