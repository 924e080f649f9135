"""Selects the best student of finished runs and writes it as a folder: cards, weights, programs."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from amid.core.checkpoint import read_checkpoint
from amid.extractors import load as load_extractor
from amid.io.atomic import write_atomic
from amid.serving.choice import Candidates, choose, validation
from amid.serving.encoding import clip_features
from amid.serving.model_card import MODEL_CARD, model_card
from amid.serving.student import (
    CARD,
    CLIPS,
    ONNX,
    PROGRAM,
    REPRESENTATIONS,
    WEIGHTS,
    Student,
)
from amid.studies.statistics import mean_std

if TYPE_CHECKING:
    import pandas as pd

    from amid.config import DataSet
    from amid.core.types import RunRecord
    from amid.data.feature_store import FeatureStore


def release(
    folder: Path,
    candidates: Candidates,
    model_of: Mapping[str, Path],
    block: DataSet,
    features: FeatureStore,
    manifest: pd.DataFrame,
) -> dict[str, Any]:
    """Replaces the student's folder and returns its card.

    model_of: run key -> the run's model.safetensors. manifest: of the data set, for the paths.
    """
    from amid.serving.export import export_in_fresh_process
    from amid.training.model_file import load_model

    configuration, run = choose(candidates)
    model = model_of[run.key]
    weights, network = read_checkpoint(model)
    networks = load_model(network, weights, model)
    card = describe(configuration, run, candidates, block)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(model, folder / WEIGHTS)
    if not export_in_fresh_process(model, card["input"]["shape"], folder):
        del card["load"]["without_amid"], card["load"]["onnx"]
    clips, representations = _training_clips(Student(folder, card, networks), features, manifest)
    clips.to_parquet(folder / CLIPS, index=False)
    array = io.BytesIO()
    np.save(array, representations, allow_pickle=False)
    write_atomic(folder / REPRESENTATIONS, array.getvalue())
    card["training"]["clips"] = len(clips)
    card["output"]["representation"] = representations.shape[1]
    text = json.dumps(card, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_atomic(folder / CARD, f"{text}\n".encode())
    write_atomic(folder / MODEL_CARD, model_card(card).encode())
    return card


def describe(
    configuration: str, run: RunRecord, candidates: Candidates, block: DataSet
) -> dict[str, Any]:
    """The card: description, input and accuracies in per cent of a student."""
    spec = run.spec
    kind, options = block.extract[spec.target]
    extractor = load_extractor(kind)
    peers = candidates[configuration]
    named = f"student/{spec.dataset}"
    return {
        "dataset": spec.dataset,
        "target": spec.target,
        "classes": run.classes,
        "input": {
            "extractor": kind,
            "options": options.model_dump(mode="json"),
            "shape": list(extractor.shape(options)),
            "dtype": np.dtype(getattr(extractor, "DTYPE", np.float32)).name,
        },
        "output": {"probabilities": len(run.classes)},
        "training": {
            "configuration": configuration,
            "method": spec.method,
            "auxiliary": list(spec.auxiliary),
            "seed": spec.seed,
            "run": run.key,
            "epoch": run.best_epoch + 1,
        },
        "chosen": {
            "by": "none" if validation(run) is None else "validation top1",
            "among": {
                name: {str(r.spec.seed): _percent(validation(r)) for r in runs}
                for name, runs in candidates.items()
            },
        },
        "metrics": {
            "unit": "per cent",
            "run": _metrics(run),
            "configuration": {
                name: {
                    "mean": _rounded(spread.mean),
                    "std": _rounded(spread.std),
                    "seeds": len(peers),
                }
                for name in _metrics(run)
                for spread in [mean_std([_metrics(peer)[name] for peer in peers])]
            },
        },
        "load": {
            "command": f"python -m amid.predict CLIP --model {named}",
            "python": f"amid.serving.student.load('{named}').predict(['CLIP'])",
            "onnx": f"onnxruntime.InferenceSession('{named}/{ONNX}')"
            ".run(None, {'features': features})",
            "without_amid": f"torch.export.load('{named}/{PROGRAM}').module()(features)",
            "served": f"mlflow models serve -m models:/amid-{spec.dataset}-student/latest",
        },
    }


def _metrics(run: RunRecord) -> dict[str, float | None]:
    """Metrics of the student at the best epoch, in per cent; None for a split without clips."""
    tested = bool(run.labels)
    found = {"validation_top1": validation(run)}
    found["test_top1"] = run.accuracy("student") if tested else None
    retrieved = run.retrieval.get("best", {})
    found |= {f"test_{name}": retrieved.get(name) for name in ("r@1", "r@5", "map")}
    return {name: _percent(value) for name, value in found.items()}


def _percent(share: float | None) -> float | None:
    return None if share is None else _rounded(100 * share)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _training_clips(
    student: Student, features: FeatureStore, manifest: pd.DataFrame
) -> tuple[pd.DataFrame, np.ndarray]:
    """All training clips with a label and the target modality (id, label, path, start, end), and
    their representations (M, D) float32."""
    index, target = features.index, student.target
    used = (index["split"] == "train") & index[f"has_{target}"] & index["label"].notna()
    rows = np.flatnonzero(used.to_numpy())
    representations = student.represent(clip_features(features, target, rows))
    places = manifest.set_index("id").loc[index["id"].iloc[rows]]
    clips = index.loc[used, ["id", "label"]].reset_index(drop=True)
    dataset = student.card["dataset"]
    clips["path"] = [_place(dataset, path) for path in places[f"{target}_path"]]
    for name in ("start", "end"):
        clips[name] = places[f"{target}_{name}"].astype(float).to_numpy()
    return clips, representations


def _place(dataset: str, path: Any) -> str:
    """A clip's file relative to the project's root. Of an absolute path, which holds on one machine
    only, the name."""
    if path is None or (isinstance(path, float) and math.isnan(path)):
        return ""
    place = PurePosixPath(str(path))
    return place.name if place.is_absolute() else str(PurePosixPath("data", dataset) / place)
