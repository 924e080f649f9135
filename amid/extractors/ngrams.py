"""Hashed character n-grams of a text file."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from amid.extractors import Span
from amid.media import MediaError
from amid.media.text import read_text

START, END = "\x02", "\x03"  # cannot come from the text: control characters are taken out


class Options(BaseModel):
    """`scale`: l2 = counts of unit length; log = ln(1 + count)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dims: int = Field(512, ge=2, le=1 << 20)
    orders: tuple[int, ...] = Field((1, 2, 3), strict=False)
    scale: Literal["l2", "log"] = "l2"

    @field_validator("orders")
    @classmethod
    def _orders_count(cls, orders: tuple[int, ...]) -> tuple[int, ...]:
        if not orders or min(orders) < 1 or len(set(orders)) < len(orders):
            raise ValueError(f"{list(orders)} must be different numbers from 1 up, such as [1, 2]")
        return orders


def shape(options: Options) -> tuple[int]:
    """(dims,)."""
    return (options.dims,)


def extract(path: Path, spans: list[Span], options: Options) -> list[np.ndarray | MediaError]:
    """(dims,) float32 of the whole file for every span, for text has no time. Raises MediaError."""
    values = describe(read_text(path), options)
    return [values] * len(spans)


def describe(text: str, options: Options) -> np.ndarray:
    """(dims,) float32: how often each n-gram occurs, n-grams of equal hash counted together.

    The text is set between marks, so that its first and last letters count apart.
    """
    marked = f"{START}{text}{END}"
    counts = np.zeros(options.dims)
    for order in options.orders:
        for position in range(len(marked) - order + 1):
            gram = marked[position : position + order]
            counts[zlib.crc32(gram.encode()) % options.dims] += 1.0
    if options.scale == "log":
        return np.log1p(counts).astype(np.float32)
    return (counts / max(np.linalg.norm(counts), 1e-12)).astype(np.float32)
