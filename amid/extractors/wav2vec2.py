"""Speech by wav2vec 2.0: the mean over time of a hidden layer of a frozen, pre-trained network.

A. Baevski, Y. Zhou, A. Mohamed, M. Auli (2020), wav2vec 2.0: A framework for self-supervised
learning of speech representations, NeurIPS. The network is transformers', on sound at 16 kHz.

params.yaml is checked against this module's Options: torch and transformers are imported only where
they are used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from amid.extractors import Span
from amid.media import MediaError, Sound

if TYPE_CHECKING:
    from amid.networks.hub import Frozen

RATE = 16000  # Hz


class Options(BaseModel):
    """model: a folder, from the project's on, or a name on the hub, at the commit `revision`.
    layer: 0 = what the convolutions give, then 1 a layer; negative ones count from the end."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    model: str = Field("facebook/wav2vec2-base-960h", min_length=1)
    revision: str | None = None
    dims: int = Field(768, ge=1, le=1 << 20)
    layer: int = -1


def shape(options: Options) -> tuple[int]:
    """(dims,)."""
    return (options.dims,)


def extract(path: Path, spans: list[Span], options: Options) -> list[np.ndarray | MediaError]:
    """(dims,) float32 a span; a span without any sound is an error.

    Spans go through the network one by one, so none is padded to another's length.
    Raises MediaError, and AmidError for a network that cannot be had.
    """
    from amid.media.film import read_one

    return describe_clips(read_one(path, request(spans, options)), spans, options)


def request(spans: list[Span], options: Options) -> Sound:
    """Sound at the network's rate. Raises AmidError as `extract` does, before anything is read."""
    _network(options)
    return Sound([(span.start, span.end) for span in spans], RATE)


def describe_clips(
    clips: list[np.ndarray | MediaError], spans: list[Span], options: Options
) -> list[np.ndarray | MediaError]:
    """`describe` of each piece of sound. Raises AmidError as `extract` does."""
    frozen = _network(options)
    return [clip if isinstance(clip, MediaError) else describe(clip, frozen) for clip in clips]


def _network(options: Options) -> Frozen:
    from amid.core.portable import route_to_numpy
    from amid.networks.hub import load_frozen

    found = load_frozen("wav2vec2", options.model, options.revision, options.dims, options.layer)
    route_to_numpy()
    return found


def describe(signal: np.ndarray, frozen: Frozen) -> np.ndarray:
    """(samples,) float32 at 16 kHz -> (dims,) float32, the mean over all time steps.

    The signal is brought to mean 0 and variance 1 where the network was trained so. One that is
    shorter than the first time step (25 ms in the published networks) is padded with zeros.
    """
    from amid.networks.hub import hidden

    config = frozen.network.config
    least = 1  # samples that one time step sees
    for kernel, stride in zip(
        reversed(config.conv_kernel), reversed(config.conv_stride), strict=True
    ):
        least = (least - 1) * stride + kernel
    if len(signal) < least:
        signal = np.pad(signal, (0, least - len(signal)))
    values = frozen.reader(signal, sampling_rate=RATE, return_tensors="pt").input_values  # (1, S)
    return hidden(frozen, input_values=values).mean(0).numpy()  # (time, dims) -> (dims,)
