"""Which frames of a film a span gets: they are chosen by the times at which they are shown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from amid.media import Box, MediaError, Pictures, box_within, clamp_span
from amid.media.conversion import grey

SMALL = 1e-6  # seconds by which rounded times may be late


class Clock(NamedTuple):
    """When the frames of a film are shown: from `times` (count,) on, the last until `duration`, in
    seconds from the film's start."""

    times: np.ndarray
    duration: float

    @property
    def count(self) -> int:
        return len(self.times)

    def frames_at(self, seconds: np.ndarray) -> np.ndarray:
        """Numbers (N,) of the frames that are shown at `seconds` (N,)."""
        numbers = np.searchsorted(self.times, seconds + SMALL, side="right") - 1
        return np.clip(numbers, 0, self.count - 1)

    def frames_between(self, start: float, end: float) -> np.ndarray:
        """Numbers of the frames that begin in [start, end) seconds; where none does, that of the
        one that is shown at the start."""
        first, last = np.searchsorted(self.times, (start - SMALL, end - SMALL))
        return np.arange(first, last) if first < last else self.frames_at(np.array([start]))


def sample_times(start: float, end: float, frames: int) -> np.ndarray:
    """The middles (frames,) of as many equal parts of [start, end) seconds."""
    return start + (np.arange(frames) + 0.5) / frames * (end - start)


def sample_indices(start: float, end: float, clock: Clock, frames: int | None) -> np.ndarray:
    """Numbers of `frames` frames evenly over [start, end) seconds, (frames,).

    The span is cut into `frames` equal parts; each gives the frame shown at its middle. Short spans
    repeat frames. None = all frames that begin in the span, at least one.
    """
    if frames is None:
        return clock.frames_between(start, end)
    return clock.frames_at(sample_times(start, end, frames))


class Picker:
    """Keeps what a request wants of a film's frames while they go by.

    duration: how long the film is believed to last. numbers: the frames that are wanted, where an
    earlier pass found out; without them a frame is kept by its time.
    """

    def __init__(
        self,
        request: Pictures,
        part: Box | None,
        spans: Sequence[tuple[float, float]],
        duration: float | None,
        numbers: set[int] | None = None,
    ) -> None:
        self.request, self.numbers = request, numbers
        self.box = box_within(part, request.box)
        self.inside: tuple[tuple[int, ...], tuple[slice, ...]] = (
            (),
            (),
        )  # a shape, and the box in it
        self.images: dict[int, np.ndarray] = {}
        self.uses: Counter[int] = Counter()
        self.ranges: list[tuple[float, float]] = []
        instants: set[float] = set()
        believed = math.inf if duration is None else duration
        if numbers is None:
            for start, end in spans:
                found = widened(start, end, request.margin, believed)
                if isinstance(found, MediaError):
                    continue
                if request.frames is None:
                    self.ranges.append(found)
                    instants.add(found[0])
                elif math.isfinite(found[1]):
                    instants.update(sample_times(*found, request.frames).tolist())
        self.instants = sorted(instants, reverse=True)  # the next one last

    @property
    def due(self) -> float:
        """Seconds of the film. A frame is not wanted that is not shown any longer by then."""
        if self.numbers is not None or self.ranges:
            return -math.inf
        return self.instants[-1] + SMALL if self.instants else math.inf

    def wants(self, number: int, start: float, end: float) -> bool:
        """Whether it keeps the frame that is shown from start to end, in seconds of the film."""
        if self.numbers is not None:
            return number in self.numbers
        wanted = bool(self.ranges) and any(
            first - SMALL <= start < last - SMALL for first, last in self.ranges
        )
        while self.instants and self.instants[-1] + SMALL < end:
            self.instants.pop()
            wanted = True
        return wanted

    def keep(self, number: int, image: np.ndarray) -> None:
        """The picture (H, W, 3) uint8, blue first, of a frame that it wants; not kept itself."""
        if self.box is not None:
            if image.shape != self.inside[0]:
                self.inside = image.shape, _inside(self.box, *image.shape[:2])
            image = image[self.inside[1]]
        self.images[number] = (self.request.convert or grey)(image)

    def expect(self, clips: Sequence[np.ndarray | MediaError]) -> None:
        """The numbers of the frames of all clips that will be asked for."""
        self.uses = Counter(
            int(n) for found in clips if not isinstance(found, MediaError) for n in found
        )

    def clip(self, numbers: np.ndarray | MediaError) -> np.ndarray | MediaError:
        """(frames, H, W, ...). A picture goes when it was asked for last, so that all of them are
        never held twice."""
        if isinstance(numbers, MediaError):
            return numbers
        first = self.images[int(numbers[0])]
        clip = np.empty((len(numbers), *first.shape), first.dtype)
        del first
        for place, number in enumerate(map(int, numbers)):
            self.uses[number] -= 1
            clip[place] = self.images[number] if self.uses[number] else self.images.pop(number)
        return clip


def widened(
    start: float, end: float, margin: float, duration: float
) -> tuple[float, float] | MediaError:
    """The part of a film that is looked at for a span of it."""
    span = clamp_span(start, end, duration)
    if isinstance(span, MediaError):
        return span
    return max(span[0] - margin, 0.0), min(span[1] + margin, duration)


def wanted(
    spans: Sequence[tuple[float, float]], request: Pictures, clock: Clock
) -> list[np.ndarray | MediaError]:
    """For each span the numbers of its frames."""
    found: list[np.ndarray | MediaError] = []
    for start, end in spans:
        span = widened(start, end, request.margin, clock.duration)
        if isinstance(span, MediaError):
            found.append(span)
        else:
            found.append(sample_indices(*span, clock, request.frames))
    return found


def _inside(box: Box, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a picture that are inside `box`, at least one of each."""
    top, left = min(round(box[0] * height), height - 1), min(round(box[2] * width), width - 1)
    bottom, right = max(round(box[1] * height), top + 1), max(round(box[3] * width), left + 1)
    return slice(top, bottom), slice(left, right)
