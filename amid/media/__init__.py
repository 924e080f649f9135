"""Reading pictures and sound; what may be wrong with a clip has a name in `reasons`.

A file is read by `amid.media.film.read`, in one pass for all that is asked of it. What can be asked
is below: `Pictures` of some spans and `Sound` of some spans; each is answered by a `Reading`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from amid.media.reasons import MediaError, Reason

if TYPE_CHECKING:  # params.yaml is checked without numpy
    import numpy as np

DURATION_TOLERANCE = 0.25  # seconds that picture and sound of one clip, or a span and they, differ

Box = tuple[float, float, float, float]  # top, bottom, left, right in shares of a picture
Part = tuple[float, float, Box | None]  # start, end, and the part of the picture; None = all of it


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
