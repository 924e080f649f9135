"""A pre-trained auxiliary extractor -> its frozen embeddings of every clip."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from amid.checkpoint import read_checkpoint, write_atomic
from amid.features import FeatureStore
from amid.types import RunRecord, canonical_json

BATCH = 4096


def freeze(record: RunRecord, model: Path, features: FeatureStore, target: Path) -> dict[str, Any]:
    """Writes <modality>.npy (N, D) float32, the weights and a card of what they were trained on.

    The embedding is the representation the extractor's classifier sees, its dimensions brought to
    mean 0 and deviation 1 over the clips it was trained on. Returns the card.
    """
    import torch

    from amid.engine import load_model

    modality = record.spec.target
    target.mkdir(parents=True, exist_ok=True)
    networks = load_model(*reversed(read_checkpoint(model)))
    values = features.array(modality)
    with torch.no_grad():
        parts = [
            networks.student(torch.from_numpy(np.array(values[start : start + BATCH])))
            for start in range(0, len(values), BATCH)
        ]
    raw = torch.cat(parts).double().numpy()  # (N, D)
    trained_on = (features.index["split"] == record.spec.corpus) & features.index[f"has_{modality}"]
    seen = raw[trained_on.to_numpy()]  # (K, D)
    embeddings = (raw - seen.mean(0)) / np.maximum(seen.std(0), 1e-6)
    np.save(target / f"{modality}.npy", embeddings.astype(np.float32), allow_pickle=False)
    shutil.copyfile(model, target / f"{modality}.safetensors")
    card = {
        "run": record.key,
        "modality": modality,
        "corpus": record.spec.corpus,
        "clips": len(seen),
        "epochs": record.spec.training["epochs"],
        "seed": record.spec.seed,
        "validation_accuracy": record.history[record.best_epoch].get("validation_student"),
        "test_accuracy": record.accuracy("student"),
    }
    write_atomic(target / f"{modality}.json", (canonical_json(card) + "\n").encode())
    return card
