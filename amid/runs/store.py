"""The run store: every training run once, in a folder named by the hash of its specification.

It lies outside DVC's outs (which DVC deletes before a stage runs), so an interrupted stage resumes,
and a run that two tables need is trained once. Layout, below `.runs/<platform>/`:

    <key>/record.json            written last: the run is complete
    <key>/sums.json              the record's sha256
    <key>/model.safetensors      the student of the best validation epoch (or the teacher alone)
    <key>/checkpoint.safetensors the state after the last saved epoch
    <key>/journal.jsonl          metrics of every epoch with the time, for MLflow

There may be a remote store as well (amid.io.content_store); this folder then holds the runs that
this machine has of it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from amid.core.checkpoint import previous, read_newest
from amid.core.reproducible import platform_fingerprint
from amid.core.types import RunRecord
from amid.io.atomic import write_atomic
from amid.io.checksums import SUMS, matches, sha256_bytes, write_checksums
from amid.io.content_store import ContentStore
from amid.training.job import CHECKPOINT, MODEL

RECORD, JOURNAL = "record.json", "journal.jsonl"
STATE = (JOURNAL, CHECKPOINT, previous(Path(CHECKPOINT)).name)  # from which a run resumes
VARIABLE = "AMID_STORE"


def open_store(environment: Mapping[str, str], home: Path) -> RunStore:
    """The store that AMID_STORE names, a folder or a URL; `home`/.runs where it does not, and of a
    URL as what this machine has of it."""
    given = environment.get(VARIABLE)
    if given and "://" in given:
        return RunStore(home / ".runs", remote=ContentStore(given))
    return RunStore(Path(given).expanduser().absolute() if given else home / ".runs")


class RunStore:
    """Runs of one platform, this one's if none is given, below `root` (bits may differ on another
    one). remote: where they are fetched from and published to."""

    def __init__(
        self, root: Path, *, platform: str | None = None, remote: ContentStore | None = None
    ) -> None:
        self.root, self.remote = root, remote
        self.platform = platform or platform_fingerprint()
        self.runs = root / self.platform

    def folder(self, key: str) -> Path:
        return self.runs / key

    def record(self, key: str) -> RunRecord | None:
        """The record of a complete run; None when it is missing or damaged."""
        path = self.folder(key) / RECORD
        try:
            data = path.read_bytes()
            record = RunRecord.from_json(data.decode()) if matches(data, path) else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        whole = record is not None and record.key == key and self.model(key).exists()
        return record if whole else None

    def damaged(self, key: str) -> bool:
        """Whether a complete run can no longer be read."""
        return (self.folder(key) / RECORD).exists() and self.record(key) is None

    def model(self, key: str) -> Path:
        """The file of a run's student (or of its teacher, where it trains no student)."""
        return self.folder(key) / MODEL

    def finish(self, record: RunRecord) -> None:
        """Writes the record, which makes the run complete."""
        folder, data = self.folder(record.key), record.to_json().encode()
        write_checksums(folder, {RECORD: sha256_bytes(data)})
        write_atomic(folder / RECORD, data)

    def fetch(self, key: str) -> RunRecord | None:
        """Like `record`, but fetches a run that is only in the remote store."""
        found = self.record(key)
        if found is None and self.remote is not None:
            self.remote.pull(f"runs/{self.platform}/{key}", self.folder(key))
            found = self.record(key)
        return found

    def publish(self, key: str) -> None:
        """Pushes a complete run to the remote store, unless it is there, and deletes its unfinished
        state there."""
        name = f"runs/{self.platform}/{key}"
        if self.remote is not None and not self.remote.exists(name):
            names = (RECORD, SUMS, MODEL, CHECKPOINT, JOURNAL)
            there = [name for name in names if (self.folder(key) / name).exists()]
            self.remote.drop(f"states/{self.platform}/{key}")
            self.remote.push(self.folder(key), name, there)

    def fetch_state(self, key: str) -> None:
        """Fetches the state of an unfinished run if another machine has trained it further."""
        if self.remote is None:
            return
        folder = self.folder(key)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".state.", dir=folder) as scratch:
            found = Path(scratch)
            pulled = self.remote.pull(f"states/{self.platform}/{key}", found)
            if pulled and _progress(found) > _progress(folder):
                for name in STATE:
                    (folder / name).unlink(missing_ok=True)
                for path in found.iterdir():
                    path.replace(folder / path.name)

    def publish_state(self, key: str) -> None:
        """Pushes the state of an unfinished run, so that another machine can resume it."""
        folder = self.folder(key)
        if self.remote is not None and _progress(folder) > (0, 0):
            there = [name for name in STATE if (folder / name).exists()]
            self.remote.push(folder, f"states/{self.platform}/{key}", there)

    def forget(self, key: str) -> None:
        """Deletes a run, so that it is trained again."""
        shutil.rmtree(self.folder(key), ignore_errors=True)
        if self.remote is not None:
            self.remote.drop(f"runs/{self.platform}/{key}")

    def lock(self, key: str) -> FileLock:
        """The lock to hold while a run is trained, so that nobody else trains it."""
        self.runs.mkdir(parents=True, exist_ok=True)
        return FileLock(self.runs / f"{key}.lock")

    def export(self, key: str, target: Path, *, checkpoint: bool) -> None:
        """Copies the files that become outs: record, sums, model, and a warm-up's checkpoint."""
        target.mkdir(parents=True, exist_ok=True)
        for name in (RECORD, SUMS, MODEL, *([CHECKPOINT] if checkpoint else [])):
            shutil.copyfile(self.folder(key) / name, target / name)


def _progress(folder: Path) -> tuple[int, int]:
    """Finished epochs, and batches of the next one, from the checkpoint in a run's folder."""
    found = read_newest(folder / CHECKPOINT)
    return (0, 0) if found is None else (found[1]["epoch"], found[1]["position"])
