"""Pairs so few and small that a contrastive run takes a fraction of a second."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from amid.config import Params
from amid.data.splits import features_fingerprint
from amid.networks.encoders import CnnEncoder, MlpEncoder
from amid.runs.pairs import PairTraining, Rule, pair_run
from amid.runs.plan import PlannedRun
from tests.small import small_params, sum_all

COUNTS = {"train": 48, "validation": 16, "test": 20}
TRAINING = {
    **{"epochs": 6, "warmup_epochs": 1, "batch_size": 16, "learning_rate": 0.01},
    **{"weight_decay": 0.1, "schedule": "cosine", "gradient_clip": None},
}


def write_pairs(folder: Path, *, counts: dict[str, int] = COUNTS, seed: int = 0) -> Path:
    """Features `audio` (8 steps of 6), `text` (12) and `video` (5 steps of 4) of the same hidden
    vector of each clip."""
    rng = np.random.default_rng(seed)
    split = [name for name, count in counts.items() for _ in range(count)]
    size = len(split)
    hidden = rng.normal(size=(size, 6))
    index = pd.DataFrame(
        {
            "id": [f"clip{n:03d}" for n in range(size)],
            "label": "none",
            "label_index": np.zeros(size, np.int64),
            "split": split,
            "fold": np.arange(size) % 4,
            "group": ["one"] * size,
        }
    )
    features = folder / "features"
    features.mkdir(parents=True)
    arrays = {
        "audio": hidden[:, None, :] + 0.1 * rng.normal(size=(size, 8, 6)),
        "text": hidden @ rng.normal(size=(6, 12)) + 0.1 * rng.normal(size=(size, 12)),
        "video": (hidden @ rng.normal(size=(6, 4)))[:, None] + 0.1 * rng.normal(size=(size, 5, 4)),
    }
    for name, values in arrays.items():
        np.save(features / f"{name}.npy", values.astype(np.float32))
        index[f"has_{name}"] = True
    index.to_parquet(features / "index.parquet", index=False)
    sum_all(features)
    return folder


def change_index(folder: Path, **columns: object) -> None:
    """Columns of the index in place of those that `write_pairs` left."""
    path = folder / "features" / "index.parquet"
    pd.read_parquet(path).assign(**columns).to_parquet(path, index=False)
    sum_all(folder / "features")
    features_fingerprint.cache_clear()


def pair_params(**training: object) -> Params:
    """Parameters with 16-dimensional networks and 6 epochs."""
    params = small_params()
    block = params.table7.model_copy(
        update={"training": PairTraining(**{**TRAINING, **training}), "seeds": [0, 1]}
    )
    network = params.network.model_copy(
        update={
            "cnn": CnnEncoder.Options(channels=[8], kernel=3, dropout=0.2),
            "mlp": MlpEncoder.Options(hidden=16, dropout=0.2),
        }
    )
    return params.model_copy(update={"table7": block, "network": network})


def small_pair_run(
    folder: Path,
    rule: str | None = None,
    *,
    ratio: float = 0.5,
    mismatch_ratio: float = 0.25,
    seed: int = 0,
    modalities: tuple[str, ...] = ("audio", "text"),
    **training: object,
) -> PlannedRun:
    """One run on the pairs that `write_pairs` left in `folder`; two epochs of DISSect's warm-up."""
    params = pair_params(**training)
    block = params.table7.model_copy(update={"modalities": {"avsentences": list(modalities)}})
    return pair_run(
        params,
        block,
        "avsentences",
        seed,
        partial(features_fingerprint, folder),
        folder=f"{rule}/seed{seed}",
        rule=None if rule is None else Rule(name=rule, warmup_epochs=2),
        ratio=ratio,
        mismatch_ratio=mismatch_ratio,
    )
