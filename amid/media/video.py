"""Frames of a film, chosen by the times at which they are shown.

Fields of interlaced films are woven into frames, as FFmpeg delivers them. Colours follow the film's
own tags (matrix and range; BT.601 where there is none).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from amid.media import Box, MediaError, Pictures, box_within, clamp_span

cv2.setNumThreads(1)  # files are read in parallel, and one thread gives the same bits anywhere

SMALL = 1e-6  # seconds by which rounded times may be late
# Matrices that FFmpeg's scaler refuses, by their numbers in ITU-T H.273. BT.2020 with constant
# luminance (10) is converted as without, as players do: greys are right, the most saturated colours
# up to 42 of 255 off.
YCGCO, MATRICES = 8, {10: Colorspace.BT2020}


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


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of an (H, W, 3) picture, blue first."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def colour(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8, red first, of an (H, W, 3) picture, blue first."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


class Painter:
    """Makes pictures of decoded frames: upright, (H, W, 3) uint8, blue first."""

    def __init__(self) -> None:
        self.scaler = VideoReformatter()  # one for a film: it prepares itself for a kind of frame
        self.size: tuple[int, int] | None = None  # of the film's first frame: rows, columns
        self.frame: av.VideoFrame | None = None
        self.image: np.ndarray | None = None

    def begin(self, frame: av.VideoFrame) -> None:
        """The film's first frame."""
        size = frame.height, frame.width
        self.size = size[::-1] if _turned(frame) % 2 else size

    def paint(self, frame: av.VideoFrame) -> np.ndarray:
        """A picture that is valid until the next call. One of another size than the film's first
        frame, where a film changes it on the way, is brought to that."""
        if frame is not self.frame:
            image = self._convert(frame)
            if turned := _turned(frame):
                image = np.ascontiguousarray(np.rot90(image, turned))
            if image.shape[:2] != self.size:
                image = cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_AREA)
            self.frame, self.image = frame, image
        return self.image

    def _convert(self, frame: av.VideoFrame) -> np.ndarray:
        if frame.colorspace == YCGCO:
            return self._from_ycgco(frame)
        scaled = self._scaled(frame, "bgr24", MATRICES.get(frame.colorspace))
        (plane,) = scaled.planes
        return _rows(plane, 3 * scaled.width).reshape(scaled.height, scaled.width, 3)

    def _from_ycgco(self, frame: av.VideoFrame) -> np.ndarray:
        """ITU-T H.273, matrix 8: green and orange as differences from brightness."""
        planar = self._scaled(frame, "yuv444p", Colorspace.ITU601)
        y, cg, co = (_rows(p, planar.width).astype(np.float32) for p in planar.planes)  # (H, W)
        full = frame.color_range == ColorRange.JPEG
        y = y if full else (y - 16.0) * np.float32(255 / 219)
        scale = np.float32(1.0 if full else 255 / 224)
        cg, co = (cg - 128.0) * scale, (co - 128.0) * scale
        image = np.stack([y - cg - co, y + cg, y - cg + co], axis=2)  # (H, W, 3), blue first
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)

    def _scaled(self, frame: av.VideoFrame, form: str, matrix: Colorspace | None) -> av.VideoFrame:
        return self.scaler.reformat(
            frame,
            format=form,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            interpolation=Interpolation.BICUBIC,
            threads=1,
        )


def _turned(frame: av.VideoFrame) -> int:
    """Quarter turns, to the left, by which a frame is to be shown."""
    return round(frame.rotation / 90) % 4


def _rows(plane: av.video.plane.VideoPlane, width: int) -> np.ndarray:
    """(height, width) uint8: a view of the plane, without what fills up its rows."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, :width]


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
        self.images: dict[int, np.ndarray] = {}
        self.uses: Counter[int] = Counter()
        self.ranges: list[tuple[float, float]] = []
        instants: list[np.ndarray] = [np.zeros(0)]
        believed = math.inf if duration is None else duration
        if numbers is None:
            for start, end in spans:
                found = widened(start, end, request.margin, believed)
                if isinstance(found, MediaError):
                    continue
                if request.frames is None:
                    self.ranges.append(found)
                    instants.append(np.array(found[:1]))
                elif math.isfinite(found[1]):
                    instants.append(sample_times(*found, request.frames))
        self.instants = np.unique(np.concatenate(instants)).tolist()[::-1]  # the next one last

    @property
    def due(self) -> float:
        """Seconds of the film. A frame is not wanted that is not shown any longer by then."""
        if self.numbers is not None or self.ranges:
            return -math.inf
        return self.instants[-1] + SMALL if self.instants else math.inf

    def shown(
        self, number: int, frame: av.VideoFrame, start: float, end: float, painter: Painter
    ) -> None:
        """A frame is shown from start to end, in seconds of the film."""
        if self.numbers is not None:
            wanted = number in self.numbers
        else:
            wanted = any(first - SMALL <= start < last - SMALL for first, last in self.ranges)
            while self.instants and self.instants[-1] + SMALL < end:
                self.instants.pop()
                wanted = True
        if wanted:
            image = _cut(painter.paint(frame), self.box)
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


def _cut(image: np.ndarray, box: Box | None) -> np.ndarray:
    """The part of an (H, W, 3) picture inside `box`, at least one pixel of it: a view."""
    if box is None:
        return image
    height, width = image.shape[:2]
    top, left = min(round(box[0] * height), height - 1), min(round(box[2] * width), width - 1)
    bottom, right = max(round(box[1] * height), top + 1), max(round(box[3] * width), left + 1)
    return image[top:bottom, left:right]
