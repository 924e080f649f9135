"""The run store: every training run once, in a folder named by the hash of its specification.

It lies outside DVC's outs (which DVC deletes before a stage runs), so an interrupted stage goes on
where it was, and a run that two tables ask for is trained once. Layout, below `.runs/<platform>/`:

    <key>/record.json            written last: the run is complete
    <key>/sums.json              the record's sha256
    <key>/model.safetensors      the student of the best validation epoch (or the teacher alone)
    <key>/checkpoint.safetensors the state after the last saved epoch
    <key>/journal.jsonl          metrics of every epoch with the time, for MLflow
"""

from __future__ import annotations

import shutil
from pathlib import Path

from filelock import FileLock

from amid.checkpoint import write_atomic
from amid.reproducible import platform_fingerprint
from amid.sums import SUMS, matches, sha256_bytes, write_sums
from amid.types import RunRecord

RECORD, MODEL, CHECKPOINT, JOURNAL = (
    "record.json",
    "model.safetensors",
    "checkpoint.safetensors",
    "journal.jsonl",
)


class RunStore:
    """Runs of this platform below `root` (bits may differ on another one)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = root / platform_fingerprint()

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
        """Whether a run was complete, but what is left of it cannot be used."""
        return (self.folder(key) / RECORD).exists() and self.record(key) is None

    def model(self, key: str) -> Path:
        """The file of a run's student (or of its teacher, where it trains no student)."""
        return self.folder(key) / MODEL

    def finish(self, record: RunRecord) -> None:
        """Files the record: from now on the run is complete."""
        folder, data = self.folder(record.key), record.to_json().encode()
        write_sums(folder, {RECORD: sha256_bytes(data)})
        write_atomic(folder / RECORD, data)

    def forget(self, key: str) -> None:
        """Drops a run, so that it is trained again."""
        shutil.rmtree(self.folder(key), ignore_errors=True)

    def lock(self, key: str) -> FileLock:
        """Held while a run is trained: two stages or experiments never train the same one."""
        self.runs.mkdir(parents=True, exist_ok=True)
        return FileLock(self.runs / f"{key}.lock")

    def export(self, key: str, target: Path, *, checkpoint: bool) -> None:
        """Copies what the outs hold: record with its sum, model, for warm-ups the checkpoint."""
        target.mkdir(parents=True, exist_ok=True)
        for name in (RECORD, SUMS, MODEL, *([CHECKPOINT] if checkpoint else [])):
            shutil.copyfile(self.folder(key) / name, target / name)
