"""The frames themselves, decoded once and kept as bytes: what an end-to-end video student reads.

A second of video at 25 frames and 128 x 171 pixels takes 1.6 MB: `every` and `size` make it less.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from amid.extractors import BoxOption, Span
from amid.media import MediaError, Pictures

DTYPE = np.uint8


class Options(BaseModel):
    """`size` in pixels, `box` in shares of the picture; `every`: 2 keeps every second frame."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    size: tuple[int, int] = Field((128, 171), strict=False)  # rows, columns
    every: int = Field(1, ge=1, le=1000)
    box: BoxOption | None = None  # in a span's own, if it has one


def shape(options: Options) -> tuple[int | None, ...]:
    """(frames, rows, columns, 3), red first."""
    return None, *options.size, 3


def extract(path: Path, spans: list[Span], options: Options) -> list[np.ndarray | MediaError]:
    """(frames, rows, columns, 3) uint8 a span: every frame that begins in it, scaled to one size
    whatever the picture's own shape. Raises MediaError."""
    from amid.media.film import read_one

    return describe_clips(read_one(path, request(spans, options)), spans, options)


def request(spans: list[Span], options: Options) -> Pictures:
    """All frames, scaled as they come."""
    import cv2

    from amid.media.conversion import colour

    rows, columns = options.size

    def scaled(image: np.ndarray) -> np.ndarray:
        shrinks = image.shape[0] >= rows and image.shape[1] >= columns
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return colour(cv2.resize(image, (columns, rows), interpolation=method))

    parts = [(span.start, span.end, span.box) for span in spans]
    return Pictures(parts, None, options.box, convert=scaled)


def describe_clips(
    clips: list[np.ndarray | MediaError], spans: list[Span], options: Options
) -> list[np.ndarray | MediaError]:
    """Every `every`-th frame."""
    return [clip if isinstance(clip, MediaError) else clip[:: options.every] for clip in clips]
