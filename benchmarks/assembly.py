"""How an extraction's own memory and time grow with clips: plan, names, assembly, index, sums.

Nothing is decoded: two modalities a clip, whose features come from a decoder that makes them up, so
that what is measured is what one process must do however many others decode. Each number of clips
in a process of its own; memory is anonymous memory (Linux), the most while it runs above what the
imports had, for mapped files are the system's to drop.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, show  # isort: skip  pins kernels first

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from amid.data.decoding import Outcome, Task
from amid.data.extraction import extract_features, plan_tasks
from amid.data.feature_store import FeatureStore
from amid.extractors import ngrams

SIZES = (30_000, 100_000, 300_000, 1_000_000)
EXTRACTORS = {name: ("ngrams", ngrams.Options(dims=16)) for name in ("video", "audio")}
CLASSES = 51


def manifest(clips: int) -> pd.DataFrame:
    names = [f"raw/class{n % CLASSES:02d}/clip{n:09d}" for n in range(clips)]
    table = {
        "id": [f"clip{n:09d}" for n in range(clips)],
        "label": [f"class{n % CLASSES:02d}" for n in range(clips)],
        "split": "train",
        "fold": -1,
        "group": [f"group{n // 100}" for n in range(clips)],
    }
    for modality in EXTRACTORS:
        table[f"{modality}_path"] = [f"{name}.avi" for name in names]
        table[f"{modality}_start"] = table[f"{modality}_end"] = np.nan
    return pd.DataFrame(table)


def made_up(tasks: Sequence[Task]) -> Iterator[tuple[Task, list[Outcome]]]:
    value = np.ones(16, np.float32)
    for task in tasks:
        yield task, [Outcome([value] * len(part.spans), 1.0) for part in task.parts]


def anonymous() -> int:
    """Bytes of this process that no file is behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


class Peak:
    """The most anonymous memory since `take` was called last."""

    def __init__(self) -> None:
        self.start = self.most = anonymous()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.most = max(self.most, anonymous())
            time.sleep(0.02)

    def take(self) -> int:
        most, self.most = self.most, anonymous()
        return most - self.start


def one(clips: int) -> dict[str, float]:
    """Seconds and MB of each part for so many clips."""
    peak, found = Peak(), {"clips": clips}

    def note(name: str, start: float) -> None:
        found[f"{name}, s"] = time.process_time() - start
        found[f"{name}, MB"] = peak.take() / 1e6

    with tempfile.TemporaryDirectory() as folder:
        table, start = manifest(clips), time.process_time()
        note("manifest", start)
        tasks = plan_tasks(table, Path(folder), EXTRACTORS)
        note("plan", start)
        del tasks
        out, start = Path(folder) / "features", time.process_time()
        extract_features(
            table, Path(folder), out, EXTRACTORS, workers=1, required=["video"], decoder=made_up
        )
        note("assembly", start)
        start = time.process_time()
        FeatureStore.open(out).fingerprint()
        note("fingerprint", start)
        found["index.parquet, MB"] = (out / "index.parquet").stat().st_size / 1e6
    return found


def main() -> None:
    given = arguments(__doc__, largest=SIZES[-1], only=0)
    if given.only:
        print(json.dumps(one(given.only)))
        return
    rows = []
    for clips in [size for size in SIZES if size <= given.largest] or [given.largest]:
        command = [sys.executable, "-m", "benchmarks.assembly", "--only", str(clips)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    show(rows, given.json)
    if len(rows) == 1:
        return
    sizes = np.log([row["clips"] for row in rows])
    for name in ("plan", "assembly", "fingerprint"):
        for unit in ("s", "MB"):
            slope = np.polyfit(sizes, np.log([row[f"{name}, {unit}"] for row in rows]), 1)[0]
            print(f"{name}, {unit}: slope {slope:.2f}")


if __name__ == "__main__":
    main()
