"""Decode each media file once, for all modalities and spans, in child processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel

from amid.extractors import Span, load
from amid.media import MediaError, Reading, Reason
from amid.media.guard import LIMITS, Limits, guarded


class Part(NamedTuple):
    """The features of one modality that are to be extracted from a file."""

    modality: str
    extractor: str
    options: BaseModel
    rows: list[int]  # of the manifest
    spans: list[Span]
    timed: bool  # whether the file's duration is wanted


class Task(NamedTuple):
    """One file to decode, with the parts for all of its modalities."""

    path: Path
    parts: list[Part]

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(part.modality for part in self.parts)


class Outcome(NamedTuple):
    """The result of one part of a task. notes: corrections, as in `amid.media.Reading`."""

    values: list[np.ndarray | MediaError]  # one a span
    seconds: float | None  # of the whole file
    notes: Mapping[str, int] = {}


def decode(task: Task) -> list[Outcome]:
    """Run the extractors of all parts of a task; parts that read a film share one pass over it.
    What is wrong with a file is returned as MediaErrors in place of values."""
    modules = [load(part.extractor) for part in task.parts]
    films = [number for number, module in enumerate(modules) if hasattr(module, "request")]
    readings: dict[int, Reading] = {}
    if films:
        from amid.media import film  # imports the decoders

        asked = [modules[n].request(task.parts[n].spans, task.parts[n].options) for n in films]
        readings = dict(zip(films, film.read(task.path, asked), strict=True))
    outcomes = []
    for number, (module, part) in enumerate(zip(modules, task.parts, strict=True)):
        reading = readings.get(number, Reading([]))
        values: list[np.ndarray | MediaError]
        try:
            if number in readings:
                values = module.describe_clips(reading.clips, part.spans, part.options)
            else:
                values = module.extract(task.path, part.spans, part.options)
        except MediaError as error:
            values = [error] * len(part.spans)
        values = [_finite(value, part, task.path) for value in values]
        outcomes.append(Outcome(values, reading.seconds if part.timed else None, reading.notes))
    return outcomes


def decoded(
    tasks: Sequence[Task], *, workers: int, limits: Limits = LIMITS
) -> Iterator[tuple[Task, list[Outcome]]]:
    """Decode the tasks in `workers` child processes; yields them in order. A file that crashes
    its process or exceeds `limits` is damaged like any other; of several modalities that shared a
    pass, each is then tried on its own."""
    names = [task.path.name for task in tasks]
    found = guarded(decode, tasks, names, workers=workers, limits=limits)
    for task, outcomes in zip(tasks, found, strict=True):
        if not isinstance(outcomes, MediaError):
            yield task, outcomes
        elif len(task.parts) == 1:
            yield task, [Outcome([outcomes] * len(task.parts[0].spans), None)]
        else:
            alone = [task._replace(parts=[part]) for part in task.parts]
            yield task, [o for _, (o,) in decoded(alone, workers=1, limits=limits)]


def _finite(value: np.ndarray | MediaError, part: Part, path: Path) -> np.ndarray | MediaError:
    if isinstance(value, MediaError) or np.isfinite(value).all():
        return value
    return MediaError(Reason.not_finite, f"{part.extractor} of {path.name} is not finite")
