"""Frozen embeddings of every clip, from a pre-trained auxiliary extractor or from the features.

The sha256 of every file is written to sums.json.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amid.core.checkpoint import read_checkpoint
from amid.core.reproducible import use_deterministic_kernels
from amid.core.types import RunRecord, RunSpec
from amid.data.feature_store import FeatureStore
from amid.data.manifest import UNLABELLED
from amid.data.splits import embeddings_folder, targets
from amid.io.atomic import write_atomic
from amid.io.canonical_json import canonical_json
from amid.io.checksums import SUMS, record_checksums, verify
from amid.methods import PAIR_METHODS

BATCH = 4096


def freeze(record: RunRecord, model: Path, features: FeatureStore, target: Path) -> dict[str, Any]:
    """Writes <modality>.npy (N, D) float32, the weights and a card of what they were trained on.

    The embedding is the representation the extractor's classifier sees, its dimensions brought to
    mean 0 and deviation 1 over the clips it was trained on; 0 for clips without the modality.
    Returns the card.
    """
    import torch

    from amid.training.evaluation import encode_samples
    from amid.training.model_file import load_model

    use_deterministic_kernels()
    modality = record.spec.target
    target.mkdir(parents=True, exist_ok=True)
    weights, network = read_checkpoint(model)
    networks = load_model(network, weights, model)
    rows = np.arange(len(features.index))
    if features.ragged(modality):  # there is no step at all where the modality is missing
        rows = rows[features.index[f"has_{modality}"]]
    raw = np.zeros((len(features.index), record.spec.network["dim"]))  # (N, D)
    with torch.no_grad():
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            samples = targets(features, modality, part)
            raw[part] = encode_samples(networks, samples).double().numpy()
    seen = _write(raw, modality, record.spec.corpus, features, target)
    copied = f"{modality}.safetensors"
    shutil.copyfile(model, target / copied)
    card = {
        "run": record.key,
        "modality": modality,
        "corpus": record.spec.corpus,
        "clips": seen,
        "epochs": record.spec.training["epochs"],
        "seed": record.spec.seed,
        "validation_accuracy": record.history[record.best_epoch].get("validation_student"),
        "test_accuracy": record.accuracy("student"),
    }
    _file(card, modality, target, copied)
    return card


def freeze_features(modality: str, corpus: str, features: FeatureStore, target: Path) -> dict:
    """Like `freeze`, for a modality whose features are one vector a clip and serve as embeddings.

    They are only standardised by the clips of the split `corpus`.
    """
    target.mkdir(parents=True, exist_ok=True)
    raw = np.asarray(features.array(modality), np.float64)  # (N, E)
    seen = _write(raw, modality, corpus, features, target)
    card = {"modality": modality, "corpus": corpus, "clips": seen, "encoder": "none"}
    _file(card, modality, target)
    return card


def check_data(data: Path, specs: Iterable[RunSpec]) -> None:
    """Verifies the sums of all files in `data` that the runs read: the index, features, embeddings
    and their cards. AmidError names the file that is damaged. Called once a stage, before its
    workers are forked: they inherit the result.
    """
    specs = list(specs)
    if not specs:
        return
    features = FeatureStore.open(data / "features")
    encoded, frozen = _modalities(specs)
    for modality in encoded:
        features.array(modality)
    for modality in frozen:
        for end in (".npy", ".json"):
            verify(embeddings_folder(data) / f"{modality}{end}")


def files_read(specs: Iterable[RunSpec]) -> list[str]:
    """The files that `check_data` verifies, and the sums, relative to the data set's folder."""
    encoded, frozen = _modalities(list(specs))
    names = ["index.parquet", *(f"{name}.npy" for name in encoded), SUMS]
    embedded = [f"{name}{end}" for name in frozen for end in (".npy", ".json")]
    embeddings = embeddings_folder(Path())
    return [
        *(f"features/{name}" for name in names),
        *(f"{embeddings / name}" for name in (*embedded, SUMS) if embedded),
    ]


def _modalities(specs: Sequence[RunSpec]) -> tuple[list[str], list[str]]:
    """Modalities that the runs read as features, and as frozen embeddings; a run on pairs encodes
    all of its own."""
    pairs = [spec for spec in specs if spec.method in PAIR_METHODS]
    others = [spec for spec in specs if spec.method not in PAIR_METHODS]
    encoded = {spec.target for spec in specs} | {m for spec in pairs for m in spec.auxiliary}
    return sorted(encoded), sorted({m for spec in others for m in spec.auxiliary})


def _file(card: dict[str, Any], modality: str, target: Path, *files: str) -> None:
    """Writes the card of a modality and the sums of its files."""
    name = f"{modality}.json"
    write_atomic(target / name, (canonical_json(card) + "\n").encode())
    record_checksums(target, name, f"{modality}.npy", *files)


def _write(
    raw: np.ndarray, modality: str, corpus: str, features: FeatureStore, target: Path
) -> int:
    """Standardises `raw` (N, E) by the clips of `corpus`, saves it, and returns their number."""
    has = features.index[f"has_{modality}"].to_numpy()
    index = features.index
    chosen = (index["split"] == corpus) & (index["label_index"] != UNLABELLED)
    seen = raw[chosen.to_numpy() & has]  # (K, E)
    embeddings = (raw - seen.mean(0)) / np.maximum(seen.std(0), 1e-6)
    embeddings[~has] = 0.0
    np.save(target / f"{modality}.npy", embeddings.astype(np.float32), allow_pickle=False)
    return len(seen)
