"""A data set and parameters so small that a run takes a fraction of a second."""

from __future__ import annotations

import json
import subprocess
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amid import config
from amid.data.splits import features_fingerprint, load_splits
from amid.io.checksums import SUMS, record_checksums
from amid.networks.crossmodal import deployed
from amid.networks.encoders import CnnEncoder, GruEncoder
from amid.runs.plan import PlannedRun, configured_run
from amid.runs.scheduler import load_late_imports
from amid.studies import load_params
from amid.training.model_file import load_model, model_card
from amid.training.trainer import Trainer

ROOT = Path(__file__).resolve().parent.parent
COUNTS = {"train": 40, "validation": 24, "test": 24, "auxiliary": 32}
CLASSES = ["blue", "green", "red", "white"]


def committed(name: str) -> str:
    """A file as of HEAD: a user's own run changes the one in the working tree."""
    command = ["git", "show", f"HEAD:./{name}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    if done.returncode:
        pytest.skip(f"no committed {name} to compare with")
    return done.stdout.decode("utf-8")


def write_data(folder: Path, *, modalities: tuple[str, ...] = ("audio",), seed: int = 0) -> Path:
    """Features of a target `video` (8 steps of 6) and frozen embeddings (16), all with signal."""
    rng = np.random.default_rng(seed)
    split = [name for name, count in COUNTS.items() for _ in range(count)]
    labels = np.arange(len(split)) % len(CLASSES)
    index = pd.DataFrame(
        {
            "id": [f"clip{n:03d}" for n in range(len(split))],
            "label": [CLASSES[n] for n in labels],
            "label_index": labels.astype(np.int64),
            "split": split,
            "fold": np.where(np.array(split) == "auxiliary", -1, np.arange(len(split)) % 4),
            "group": ["one"] * len(split),
        }
    )
    for modality in ("video", *modalities):
        index[f"has_{modality}"] = True
    features, embeddings = folder / "features", folder / "embeddings"
    features.mkdir(parents=True)
    embeddings.mkdir()
    index.to_parquet(features / "index.parquet", index=False)
    video = rng.normal(size=(len(split), 8, 6)) + 1.2 * np.eye(6)[labels][:, None, :]
    np.save(features / "video.npy", video.astype(np.float32))
    for modality in modalities:
        sound = rng.normal(size=(len(split), 12, 10)) + 0.8 * np.eye(10)[labels][:, None, :]
        np.save(features / f"{modality}.npy", sound.astype(np.float32))
        embedding = rng.normal(size=(len(split), 16)) + 2.0 * np.eye(16)[labels]
        np.save(embeddings / f"{modality}.npy", embedding.astype(np.float32))
        card = {"modality": modality, "corpus": "auxiliary", "clips": COUNTS["auxiliary"]}
        (embeddings / f"{modality}.json").write_text(json.dumps(card))
    sum_all(features, embeddings)
    return folder


def sum_all(*folders: Path) -> None:
    """Takes all that lies in the folders, changed by a test or not, for what was meant to."""
    for folder in folders:
        record_checksums(folder, *(path.name for path in folder.iterdir() if path.name != SUMS))


@cache
def _project_params() -> config.Params:
    return load_params(ROOT / "params.yaml")


def project_params() -> config.Params:
    """The numbers of the project's params.yaml: a copy of what was read once."""
    return _project_params().model_copy(deep=True)


def small_params(**updates: object) -> config.Params:
    """The project's parameters for avlips, with 16-dimensional networks and 6 epochs, 2 of them
    warm-up."""
    params = project_params()
    network = params.network.model_copy(
        update={
            "dim": 16,
            "gru": GruEncoder.Options(hidden=[12], state=16),
            "cnn": CnnEncoder.Options(channels=[8], kernel=3, dropout=0.2),
            "fusion": config.Fusion(hidden=16),
        }
    )
    training = params.training.model_copy(
        update={"epochs": 6, "warmup_epochs": 2, "checkpoint_every": 1, "learning_rate": 0.01}
    )
    blocks = {
        name: block.model_copy(update={"training": {"batch_size": 8}, "auxiliary_training": {}})
        for name, block in params.data.items()
    }
    crd = {**params.methods["crd"], "dim": 16}
    crcd = {**params.methods["crcd"], "dim": 16}
    methods = {**params.methods, "crd": crd, "crcd": crcd}
    table3 = params.table3.model_copy(update={"folds": [0, 1, 2, 3]})
    values = {"network": network, "training": training, "data": blocks, "seeds": [0, 1]}
    values |= {"methods": methods, "table3": table3, "datasets": ["avlips"]}
    return params.model_copy(update={**values, **updates})


def untrained(run: PlannedRun, folder: Path) -> Trainer:
    """A trainer of the run on the data in `folder`, its fixed teacher, if any, untrained too."""
    teacher = None
    if run.teacher is not None:
        other = Trainer(run.teacher, load_splits(folder, run.teacher))
        state = deployed(other.networks.state_dict(), ("teacher",))
        teacher = load_model(model_card(other, ("teacher",)), state)
    return Trainer(run.spec, load_splits(folder, run.spec), teacher)


def small_run(
    folder: Path,
    configuration: str = "amid",
    seed: int = 0,
    *,
    auxiliary: tuple[str, ...] | None = None,
    overrides: dict | None = None,
    **updates: object,
) -> PlannedRun:
    """One configuration on the data that `write_data` left in `folder`."""
    load_late_imports()
    return configured_run(
        small_params(**updates),
        "avlips",
        configuration,
        seed,
        partial(features_fingerprint, folder),
        auxiliary=auxiliary,
        overrides=overrides,
    )
