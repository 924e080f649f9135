"""Low-frequency DCT coefficients of a few frames and their differences: lip reading's classic.

Grey frames evenly over the span, cut to a fixed box and scaled to one size, each described by the
lowest coefficients of its orthonormal two-dimensional DCT-II (pixels in [0, 1]).

params.yaml is checked against this module's Options: OpenCV is imported only where it is used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from amid.core.dct import lowest_frequencies
from amid.extractors import BoxOption, Span
from amid.media import MediaError, Pictures


class Options(BaseModel):
    """`size` in pixels, `box` in shares of the picture, `margin` in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    frames: int = Field(8, ge=1, le=1000)
    box: BoxOption | None = None  # in a span's own, if it has one
    size: tuple[int, int] = Field((32, 32), strict=False)  # rows, columns
    coefficients: int = Field(64, ge=1)
    differences: bool = True
    margin: float = Field(0.0, ge=0.0, le=10.0)  # looked at before and after the span

    @model_validator(mode="after")
    def _sizes_fit(self) -> Options:
        rows, columns = self.size
        if min(rows, columns) < 2 or rows % 2 or columns % 2:
            raise ValueError(f"size {list(self.size)} must be two even numbers from 2 up")
        if self.coefficients > rows * columns:
            raise ValueError(
                f"coefficients {self.coefficients} must not exceed the {rows * columns} of the size"
            )
        return self


def shape(options: Options) -> tuple[int, int]:
    """(frames, values)."""
    return options.frames, options.coefficients * (2 if options.differences else 1)


def extract(path: Path, spans: list[Span], options: Options) -> list[np.ndarray | MediaError]:
    """(frames, values) float32 a span: coefficients, then their change since the frame before."""
    from amid.media.film import read_one

    return describe_clips(read_one(path, request(spans, options)), spans, options)


def request(spans: list[Span], options: Options) -> Pictures:
    """Grey frames."""
    parts = [(span.start, span.end, span.box) for span in spans]
    return Pictures(parts, options.frames, options.box, options.margin)


def describe_clips(
    clips: list[np.ndarray | MediaError], spans: list[Span], options: Options
) -> list[np.ndarray | MediaError]:
    """`describe` of each clip of frames."""
    return [clip if isinstance(clip, MediaError) else describe(clip, options) for clip in clips]


def describe(clip: np.ndarray, options: Options) -> np.ndarray:
    """(frames, H, W) uint8 -> (frames, values) float32. The first frame's differences are zero."""
    import cv2

    rows, columns = options.size
    order = lowest_frequencies(rows, columns, options.coefficients)
    shrinks = clip.shape[1] >= rows and clip.shape[2] >= columns
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    # In float64, so that kernels of another CPU, which differ in the last bits, round to the same
    # float32.
    planes = np.empty((len(clip), rows, columns))
    for frame, plane in zip(clip, planes, strict=True):
        cv2.dct(cv2.resize(frame, (columns, rows), interpolation=method) / 255.0, plane)
    result = np.zeros(shape(options), np.float32)
    result[:, : options.coefficients] = planes.reshape(len(clip), -1)[:, order]
    if options.differences:
        values = result[:, : options.coefficients]
        result[1:, options.coefficients :] = values[1:] - values[:-1]
    return result
