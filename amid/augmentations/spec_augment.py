"""Masks of bands and of steps of a spectrogram (SpecAugment: Park et al., Interspeech 2019).

The masked values are the mean over the training clips. SpecAugment's time warp is `time_warp`.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from amid.augmentations.base import AugmentationOptions, Share

Count = Annotated[int, Field(ge=0)]


class Options(AugmentationOptions):
    """bands, steps: share of neighbouring features, and of steps, that a mask may cover at most.
    band_masks, step_masks: their number."""

    bands: Share
    band_masks: Count
    steps: Share
    step_masks: Count


AXES = (2,)


def augment(clip: np.ndarray, options: dict, random: np.random.Generator) -> np.ndarray:
    """(steps, features) -> the same shape"""
    masked = clip.copy()
    for masks, share, values in (
        (options["band_masks"], options["bands"], masked.T),
        (options["step_masks"], options["steps"], masked),
    ):
        for _ in range(masks):
            size = int(random.random() * (share * len(values) + 1))
            start = int(random.random() * (len(values) - size + 1))
            values[start : start + size] = 0.0
    return masked
