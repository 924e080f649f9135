"""The run store: every training run once, in a folder named by the hash of its specification.

It lies outside DVC's outs (which DVC deletes before a stage runs), so an interrupted stage goes on
where it was, and a run that two tables ask for is trained once. Layout, below `.runs/<platform>/`:

    <key>/record.json            written last: the run is complete
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
        """The record of a complete run; None when it is missing or does not parse."""
        try:
            record = RunRecord.from_json((self.folder(key) / RECORD).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        whole = record.key == key and (self.folder(key) / MODEL).exists()
        return record if whole else None

    def model(self, key: str) -> Path:
        """The file of a run's student (or of its teacher, where it trains no student)."""
        return self.folder(key) / MODEL

    def finish(self, record: RunRecord) -> None:
        """Files the record: from now on the run is complete."""
        write_atomic(self.folder(record.key) / RECORD, record.to_json().encode())

    def forget(self, key: str) -> None:
        """Drops a run, so that it is trained again."""
        shutil.rmtree(self.folder(key), ignore_errors=True)

    def lock(self, key: str) -> FileLock:
        """Held while a run is trained: two stages or experiments never train the same one."""
        self.runs.mkdir(parents=True, exist_ok=True)
        return FileLock(self.runs / f"{key}.lock")

    def export(self, key: str, target: Path, *, checkpoint: bool) -> None:
        """Copies what the outs hold of a run: record and model, for warm-ups the checkpoint."""
        target.mkdir(parents=True, exist_ok=True)
        for name in (RECORD, MODEL, *([CHECKPOINT] if checkpoint else [])):
            shutil.copyfile(self.folder(key) / name, target / name)
