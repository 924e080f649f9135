"""Extractors turn a file and spans of it into arrays of one shape: one file here, one line below.

A module has

    class Options(pydantic.BaseModel)
    def shape(options) -> tuple[int | None, ...]            # None first: sequences of any length
    DTYPE = np.uint8                                        # only where it is not float32
    def extract(path, spans, options) -> list[np.ndarray | MediaError]  # float32, one a span

and, if it sees or hears what `amid.media.film` reads, so that a film is decoded once for all
modalities that it has,

    def request(spans, options) -> Pictures | Sound         # of amid.media
    def describe_clips(clips, spans, options)               # what `extract` makes of the answer

`extract` raises MediaError when the whole file is bad. It must give the same bytes for a span
whatever other spans are asked for with it. Values are not standardised: that needs the training
rows, which an extractor does not know.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from amid.errors import ConfigError
from amid.media import Box

EXTRACTORS = {
    "bert": "amid.extractors.bert",
    "cnn14": "amid.extractors.cnn14",
    "densenet": "amid.extractors.densenet",
    "features": "amid.extractors.features",
    "frame_dct": "amid.extractors.frame_dct",
    "frames": "amid.extractors.frames",
    "log_mel": "amid.extractors.log_mel",
    "ngrams": "amid.extractors.ngrams",
    "wav2vec2": "amid.extractors.wav2vec2",
}


def _inside(box: Box) -> Box:
    top, bottom, left, right = box
    if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
        raise ValueError(
            f"box {list(box)} must be shares of the picture from 0 to 1, top < bottom and "
            "left < right"
        )
    return box


# Of an extractor's options. Shares, so that pictures may have any size.
BoxOption = Annotated[Box, Field(strict=False), AfterValidator(_inside)]


class Span(NamedTuple):
    """A piece of a file in seconds; NaN = the file's start or end. `id` is the clip's.

    `box`, of pictures: the part of the picture that is the clip's; None = all of it. An extractor's
    own box is a part of that.
    """

    id: str
    start: float
    end: float
    box: Box | None = None


def load(name: str) -> ModuleType:
    """The extractor's module. Raises ConfigError for an unknown name."""
    if name not in EXTRACTORS:
        known = ", ".join(sorted(EXTRACTORS))
        raise ConfigError(f"There is no extractor {name!r}: use one of {known}.")
    return importlib.import_module(EXTRACTORS[name])
