"""Features that exist already: one .npy file a clip, a vector or a sequence of vectors.

A file says its shape and type in its header; pickled objects are refused unread. Sequences may be
resampled to one length, which makes long ones cheap to train on and forgets how long they were.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from amid.extractors import Span
from amid.media import MediaError, Reason


class Options(BaseModel):
    """dims: length of a vector. sequence: whether a clip has any number of them, in order. steps:
    number to which each sequence is resampled, null for its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dims: Annotated[int, Field(ge=1, le=1 << 20)] = 512
    sequence: bool = False
    steps: Annotated[int, Field(ge=2, le=1 << 20)] | None = None

    @model_validator(mode="after")
    def _steps_are_of_a_sequence(self) -> Options:
        if self.steps is not None and not self.sequence:
            raise ValueError("`steps` needs `sequence: true`: a vector has none")
        return self


def shape(options: Options) -> tuple[int | None, ...]:
    """(dims,); of sequences (steps, dims), (None, dims) for any length."""
    return (options.steps, options.dims) if options.sequence else (options.dims,)


def extract(path: Path, spans: list[Span], options: Options) -> list[np.ndarray | MediaError]:
    """The file's float32 values for every span, which have no meaning here. Raises MediaError."""
    values = read(path, options)
    return [values if options.steps is None else resampled(values, options.steps)] * len(spans)


def resampled(values: np.ndarray, steps: int) -> np.ndarray:
    """float32 (L, dims) -> (steps, dims): straight lines between the steps, first and last kept."""
    places = np.arange(steps) * ((len(values) - 1) / (steps - 1))  # (steps,), in steps of `values`
    before = np.minimum(places.astype(np.int64), len(values) - 1)
    after = np.minimum(before + 1, len(values) - 1)
    share = (places - before)[:, None]
    a, b = values[before].astype(np.float64), values[after].astype(np.float64)
    return (a + (b - a) * share).astype(np.float32)


def read(path: Path, options: Options) -> np.ndarray:
    """float32 (dims,) or (L, dims), finite; L is at least 1. Raises MediaError, without having read
    the values where the header tells already."""
    try:
        with path.open("rb") as file:
            start = file.read(6)
        if start.startswith(b"PK\x03\x04"):
            raise MediaError(Reason.not_media, f"{path.name} is an archive: save one .npy a clip")
        if not start:
            raise MediaError(Reason.empty_file, f"{path.name} has no bytes")
        if start != b"\x93NUMPY":
            raise MediaError(Reason.not_media, f"{path.name} is no .npy file")
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise MediaError(Reason.missing_file, f"{path.name}: {reason}") from error
    except (ValueError, EOFError) as error:
        if "object" in str(error).lower():
            raise MediaError(Reason.wrong_type, f"{path.name} holds Python objects") from error
        text = " ".join(str(error).split())
        raise MediaError(Reason.truncated, f"{path.name} cannot be read: {text}") from error
    if values.dtype.kind not in "fiu":
        raise MediaError(
            Reason.wrong_type, f"{path.name} holds values of type {values.dtype}, not numbers"
        )
    wanted = shape(options.model_copy(update={"steps": None}))
    fits = values.ndim == len(wanted) and values.shape[-1] == options.dims and values.shape[0] > 0
    if not fits:
        shown = f"(any length, {options.dims})" if options.sequence else f"({options.dims},)"
        raise MediaError(
            Reason.wrong_shape, f"{path.name} has the shape {values.shape}, not {shown}"
        )
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and said so below
        result = np.array(values, np.float32, order="C")
    wrong = int((~np.isfinite(result)).sum())
    if wrong:
        raise MediaError(
            Reason.not_finite,
            f"{path.name} has {wrong} of {result.size} values that are NaN, infinite or beyond "
            "float32",
        )
    return result
