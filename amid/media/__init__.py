"""Reading pictures and sound; what may be wrong with a clip has a name here.

A file is read by `amid.media.film.read`, in one pass for all that is asked of it. What can be asked
is below: `Pictures` of some spans and `Sound` of some spans; each is answered by a `Reading`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # params.yaml is checked without numpy
    import numpy as np

DURATION_TOLERANCE = 0.25  # seconds that picture and sound of one clip, or a span and they, differ

Box = tuple[float, float, float, float]  # top, bottom, left, right in shares of a picture
Part = tuple[float, float, Box | None]  # start, end, and the part of the picture; None = all of it


class Reason(StrEnum):
    """Why a clip is set aside. `quarantine.parquet` holds the values."""

    missing_file = "missing_file"
    empty_file = "empty_file"
    not_media = "not_media"
    no_picture = "no_picture"
    no_sound = "no_sound"
    too_few_frames = "too_few_frames"
    header_only = "header_only"
    truncated = "truncated"
    zeroed = "zeroed"
    corrupt = "corrupt"
    durations_disagree = "durations_disagree"
    not_finite = "not_finite"
    wrong_extension = "wrong_extension"
    wrong_type = "wrong_type"
    wrong_shape = "wrong_shape"
    silent = "silent"
    span_outside = "span_outside"
    unreadable_text = "unreadable_text"
    crashed = "crashed"  # decoding ended its process
    timeout = "timeout"
    memory = "memory"
    bad_alignment = "bad_alignment"  # word times that are missing or contradict the file


class MediaError(Exception):
    """A clip that cannot be used; `detail` says what was found, in numbers where there are any."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)  # both, so that the error survives pickling
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class Pictures(NamedTuple):
    """A request for frames of spans of a film, `frames` of each evenly, or all where it is None.

    spans: seconds of start and end, NaN for the film's own, and the part of the picture. box: of
    every part, in shares of it. margin: seconds by which spans are widened on both sides, as far as
    the film goes. convert: makes an array of its own, all of one shape for a film, of each picture
    (H, W, 3) uint8, blue first, that is cut already; None: (H, W) uint8 grey. It is called while
    the film is decoded and all results are held at once, so it had better make pictures small.
    """

    spans: Sequence[Part]
    frames: int | None
    box: Box | None = None
    margin: float = 0.0
    convert: Callable[[np.ndarray], np.ndarray] | None = None


class Sound(NamedTuple):
    """A request for the sound of spans: seconds of start and end, NaN for the sound's own; `rate`
    in samples a second."""

    spans: Sequence[tuple[float, float]]
    rate: int


# What is put right while a file is read, and told.
NOTES = {
    "clamped_spans": "spans that end after their file were cut at its end",
    "sound_gaps": "gaps in the sound are silence",
    "sound_overlaps": "overlaps in the sound are cut",
    "one_channel": "files whose channels cancel each other are heard by the louder one",
}


class Reading(NamedTuple):
    """The answer to a request: clips: for each span (frames, H, W, ...) or (samples,) float32, or
    what is wrong with it. seconds: of the whole picture or sound, None where it cannot be read.
    notes: which of NOTES was put right, and how often."""

    clips: list[np.ndarray | MediaError]
    seconds: float | None = None
    notes: Mapping[str, int] = {}


def clamp_span(start: float, end: float, duration: float) -> tuple[float, float] | MediaError:
    """A span inside [0, duration] seconds; NaN stands for its ends. One that ends up to
    DURATION_TOLERANCE after it ends there; others that are empty or leave it are an error."""
    first = 0.0 if math.isnan(start) else start
    last = duration if math.isnan(end) else min(end, duration)
    if 0.0 <= first < last and not end > duration + DURATION_TOLERANCE:
        return first, last
    named = duration if math.isnan(end) else end
    return MediaError(
        Reason.span_outside,
        f"the span {first:.3f} to {named:.3f} s does not lie in the clip's 0 to {duration:.3f} s",
    )


def box_within(part: Box | None, box: Box | None) -> Box | None:
    """The box of the picture that is `box`, in shares of `part`; None stands for the whole."""
    if part is None or box is None:
        return part if box is None else box
    top, bottom, left, right = part
    height, width = bottom - top, right - left
    return (
        top + box[0] * height,
        top + box[1] * height,
        left + box[2] * width,
        left + box[3] * width,
    )
