"""Sides of a comparison timed in turn in one process: medians, quartiles of their ratio, JSON."""

from __future__ import annotations

import amid.core.reproducible  # isort: skip  # noqa: F401  pins kernels before torch loads

import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Ratio(NamedTuple):
    """How many times longer one side takes than the other, over the repeats."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def arguments(
    description: str | None,
    options: Mapping[str, Callable[[str], Any]] | None = None,
    places: Sequence[str] = (),
    **numbers: int,
) -> Namespace:
    """The command line: a path for each of `places`, an option of a kind for each of `options`, one
    for each of `numbers`, and --json for a file."""
    parser = ArgumentParser(description=description)
    for name in places:
        parser.add_argument(name, type=Path)
    for name, kind in (options or {}).items():
        parser.add_argument(f"--{name}", type=kind)
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def seconds(side: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    side()
    return clock() - start


def timed(
    sides: Mapping[str, Callable[[], object]],
    repeats: int,
    warm: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, np.ndarray]:
    """Seconds of every repeat of every side, one after the other in each repeat. clock:
    time.thread_time for processor time, which other programs disturb less."""
    for _ in range(warm):
        for side in sides.values():
            side()
    times = [[seconds(side, clock) for side in sides.values()] for _ in range(repeats)]
    return dict(zip(sides, np.array(times).T, strict=True))


def ratio(slow: np.ndarray, fast: np.ndarray) -> Ratio:
    low, median, high = np.percentile(slow / fast, (25, 50, 75))
    return Ratio(float(median), float(low), float(high))


def show(rows: list[dict[str, Any]], path: Path | None) -> None:
    """A Markdown table of the rows, and the same as JSON."""
    names = list(rows[0])
    print("| " + " | ".join(names) + " |\n|" + "---:|" * len(names))
    for row in rows:
        print("| " + " | ".join(_cell(row[name]) for name in names) + " |", flush=True)
    if path is not None:
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _cell(value: Any) -> str:
    if isinstance(value, Ratio):
        return str(value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
