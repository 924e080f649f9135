"""The journal of a run: JSON lines, the first naming the stage process it was written for.

Workers append to it; the stage reads it and is the only one to write to MLflow.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from amid.io.atomic import write_atomic
from amid.io.canonical_json import canonical_json


class JournalWriter:
    """Appends the metrics of one epoch after the other."""

    def __init__(self, path: Path, token: str) -> None:
        self.path, self.token = path, token

    def start(self, done: int, history: list[dict[str, float]]) -> None:
        """Rewrites the journal with the `done` epochs of a checkpoint, keeping their times."""
        times = {line["epoch"]: line["time"] for line in read(self.path)}
        lines = [{"token": self.token}]
        for epoch, metrics in enumerate(history[:done]):
            lines.append(_line(epoch, metrics, times.get(epoch)))
        write_atomic(self.path, "".join(canonical_json(line) + "\n" for line in lines).encode())

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(canonical_json(_line(epoch, metrics)) + "\n")


def read(path: Path, token: str | None = None, skip: int = 0) -> list[dict]:
    """The whole lines of a journal from epoch number `skip` on: {"epoch", "time" in ms, "metrics"}.

    With a token, nothing until the journal has been begun by that stage process.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    lines = text.split("\n")[:-1]  # what follows the last line end is still being written
    if not lines or (token is not None and json.loads(lines[0]).get("token") != token):
        return []
    return [json.loads(line) for line in lines[1 + skip :]]


def _line(epoch: int, metrics: dict[str, float], at: int | None = None) -> dict:
    finite = {name: value for name, value in metrics.items() if value == value}
    return {"epoch": epoch, "time": at or int(time.time() * 1000), "metrics": finite}
