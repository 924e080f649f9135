"""One file decoded once, for all its spans: the task, its outcome, and the children that do it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel

from amid.extractors import Span, load
from amid.media import MediaError, Reason
from amid.media.guard import LIMITS, Limits, guarded


class Task(NamedTuple):
    """One file to decode once, for all its spans."""

    modality: str
    extractor: str
    options: BaseModel
    path: Path
    rows: list[int]  # of the manifest
    spans: list[Span]
    timed: bool  # whether the file's duration is wanted


class Outcome(NamedTuple):
    values: list[np.ndarray | MediaError]  # one a span
    seconds: float | None  # of the whole file


def decode(task: Task) -> Outcome:
    """Run a task's extractor; whatever is wrong with the file comes back in place of values."""
    module = load(task.extractor)
    values: list[np.ndarray | MediaError]
    seconds = None
    try:
        values = module.extract(task.path, task.spans, task.options)
        if task.timed and hasattr(module, "duration"):
            seconds = module.duration(task.path)
    except MediaError as error:
        values = [error] * len(task.spans)
    return Outcome([_finite(value, task) for value in values], seconds)


def decoded(
    tasks: Sequence[Task], *, workers: int, limits: Limits = LIMITS
) -> Iterator[tuple[Task, Outcome]]:
    """The tasks with their outcomes, in order, by `workers` child processes. A file that crashes
    its process or exceeds `limits` is damaged like any other."""
    names = [task.path.name for task in tasks]
    found = guarded(decode, tasks, names, workers=workers, limits=limits)
    for task, outcome in zip(tasks, found, strict=True):
        lost = isinstance(outcome, MediaError)
        yield task, Outcome([outcome] * len(task.spans), None) if lost else outcome


def _finite(value: np.ndarray | MediaError, task: Task) -> np.ndarray | MediaError:
    if isinstance(value, MediaError) or np.isfinite(value).all():
        return value
    return MediaError(Reason.not_finite, f"{task.extractor} of {task.path.name} is not finite")
