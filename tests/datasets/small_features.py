"""Features of made-up films with sound, small enough for a test."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from amid.data.extraction import Extraction, extract_features
from amid.extractors import frame_dct, log_mel


def small_features(manifest: pd.DataFrame, data: Path, out: Path) -> Extraction:
    """Extracts `video` and `audio` of the clips in a manifest, both required."""
    frames = frame_dct.Options(frames=4, box=None, size=(24, 32), coefficients=16)
    extractors = {"video": ("frame_dct", frames), "audio": ("log_mel", log_mel.Options())}
    required = ["video", "audio"]
    return extract_features(manifest, data, out, extractors, workers=1, required=required)
