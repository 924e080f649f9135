"""What augmentations share: the types of their numbers, and resampling over time."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, lt=1)]
Deviation = Annotated[float, Field(ge=0, allow_inf_nan=False)]  # of a feature over training clips


class AugmentationOptions(BaseModel):
    """An augmentation's numbers in params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MixingOptions(AugmentationOptions):
    """Numbers of an augmentation that mixes clips.

    share: of the partner in a mixed clip, at most; up to half, so that the clip's own class is
    always the larger part. probability: with which a clip is mixed at all.
    """

    share: Annotated[float, Field(ge=0, le=0.5)]
    probability: Annotated[float, Field(ge=0, le=1)]


def at_times(clip: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The clip (steps, features) at `times` (N,) in 0 .. steps - 1, linear between steps."""
    before = np.minimum(times.astype(np.int64), max(len(clip) - 2, 0))
    after = np.minimum(before + 1, len(clip) - 1)
    first = clip.take(before, axis=0)
    return first + (clip.take(after, axis=0) - first) * (times - before)[:, None]  # (N, features)


def resampled(clip: np.ndarray, steps: int) -> np.ndarray:
    """The whole clip in `steps` steps, first and last kept; itself where it has as many."""
    if len(clip) == steps:
        return clip
    return at_times(clip, np.arange(steps) / max(steps - 1, 1) * (len(clip) - 1))
