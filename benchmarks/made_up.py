"""A data set of random numbers in avlips's sizes, as its stages would leave it on disk."""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from amid import config
from amid.data.splits import features_fingerprint
from amid.io.checksums import record_checksums
from amid.runs.plan import PlannedRun, configured_run
from amid.studies import load_params

CLASSES = 26


def write_data(folder: Path, train: int = 800, validation: int = 800, test: int = 1000) -> Path:
    """Features of the target and frozen embeddings of the sound, below `folder`/avlips."""
    rng = np.random.default_rng(0)
    counts = {"train": train, "validation": validation, "test": test}
    split = [name for name, count in counts.items() for _ in range(count)]
    labels = rng.integers(CLASSES, size=len(split))
    index = pd.DataFrame(
        {
            "id": [f"clip{n:06d}" for n in range(len(split))],
            "label": [f"class{n:02d}" for n in labels],
            "label_index": labels.astype(np.int64),
            "split": split,
            "fold": 0,
            "group": "one",
            "has_video": True,
            "has_audio": True,
        }
    )
    place = folder / "avlips"
    (place / "features").mkdir(parents=True)
    (place / "embeddings").mkdir()
    index.to_parquet(place / "features" / "index.parquet", index=False)
    values = rng.normal(size=(len(split), 8, 128)).astype(np.float32)
    np.save(place / "features" / "video.npy", values)
    embeddings = rng.normal(size=(len(split), 128)).astype(np.float32)
    np.save(place / "embeddings" / "audio.npy", embeddings)
    (place / "embeddings" / "audio.json").write_text(json.dumps({"modality": "audio"}))
    record_checksums(place / "features", "index.parquet", "video.npy")
    record_checksums(place / "embeddings", "audio.npy", "audio.json")
    return place


@cache
def _params() -> config.Params:
    return load_params(Path("params.yaml"))


def run(data: Path, overrides: dict[str, Any], seed: int = 0, **training: Any) -> PlannedRun:
    """AMID with the project's numbers but for these, without a warm-up of its own."""
    params = _params()
    fingerprint = partial(features_fingerprint, data)
    return configured_run(
        params,
        "avlips",
        "amid",
        seed,
        fingerprint,
        overrides=overrides,
        training=training or None,
        unbroken=True,
    )
