"""What augmentations share: the type of their numbers, and resampling over time."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, lt=1)]
Deviation = Annotated[float, Field(ge=0, allow_inf_nan=False)]  # of a feature over training clips


class AugmentationOptions(BaseModel):
    """An augmentation's numbers in params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def at_times(clip: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The clip (steps, features) at `times` (N,) in 0 .. steps - 1, linear between steps."""
    before = np.minimum(times.astype(np.int64), max(len(clip) - 2, 0))
    after = np.minimum(before + 1, len(clip) - 1)
    first = clip.take(before, axis=0)
    return first + (clip.take(after, axis=0) - first) * (times - before)[:, None]  # (N, features)
