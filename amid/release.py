"""From finished runs to a student that others can use: the choice, its card, its files."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from amid.checkpoint import read_checkpoint, write_atomic
from amid.errors import AmidError
from amid.extractors import load as load_extractor
from amid.statistics import mean_std
from amid.student import CARD, CLIPS, PROGRAM, REPRESENTATIONS, WEIGHTS, Student

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from amid.config import DataSet
    from amid.features import FeatureStore
    from amid.networks.crossmodal import CrossModal
    from amid.types import RunRecord

Candidates = Mapping[str, Sequence["RunRecord"]]  # configuration -> its runs, by seed


def choose(candidates: Candidates) -> tuple[str, RunRecord]:
    """The configuration and run whose student is best on validation, at the epoch that the run
    itself chose; of equals the first. Test clips have no say.

    Without validation clips nothing may choose: then it is the first run of the first
    configuration. AmidError for a configuration that trains no student.
    """
    best: tuple[float, str, RunRecord] | None = None
    for configuration, runs in candidates.items():
        for run in runs:
            if run.selected_on != "student":
                raise AmidError(
                    f"params.yaml: 'student.configurations' names '{configuration}', which trains "
                    "no student: take it out."
                )
            value = validation(run)
            value = -1.0 if value is None else value
            if best is None or value > best[0]:
                best = value, configuration, run
    if best is None:
        raise AmidError("params.yaml: there is no run to choose a student from: fill in 'seeds'.")
    return best[1], best[2]


def validation(run: RunRecord) -> float | None:
    """Top-1 (0..1) of the student on validation, at the epoch the run chose; None without clips."""
    return run.history[run.best_epoch].get("validation_student")


def release(
    folder: Path,
    candidates: Candidates,
    model_of: Mapping[str, Path],
    block: DataSet,
    features: FeatureStore,
    manifest: pd.DataFrame,
) -> dict[str, Any]:
    """Writes the student's folder anew; its card.

    model_of: run key -> the run's model.safetensors. manifest: of the data set, for the paths.
    """
    from amid.deployed import exported
    from amid.engine import load_model

    configuration, run = choose(candidates)
    model = model_of[run.key]
    weights, network = read_checkpoint(model)
    networks = load_model(network, weights, model)
    card = describe(configuration, run, candidates, block)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(model, folder / WEIGHTS)
    example = _example(networks, card["input"]["shape"])
    if example is None:
        del card["load"]["without_amid"]
    else:
        write_atomic(folder / PROGRAM, exported(networks, example))
    clips, representations = _training_clips(Student(folder, card, networks), features, manifest)
    clips.to_parquet(folder / CLIPS, index=False)
    array = io.BytesIO()
    np.save(array, representations, allow_pickle=False)
    write_atomic(folder / REPRESENTATIONS, array.getvalue())
    card["training"]["clips"] = len(clips)
    card["output"]["representation"] = representations.shape[1]
    text = json.dumps(card, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_atomic(folder / CARD, f"{text}\n".encode())
    return card


def _example(networks: CrossModal, shape: list[int | None]) -> Tensor | None:
    """What an exported program is given: features of two clips, or two windows of a video. None for
    sequences of any length: torch writes a GRU's steps out one by one, so a program has one."""
    import torch

    from amid.deployed import EXAMPLE_BATCH

    if hasattr(networks.student, "example"):
        return networks.student.example
    return None if None in shape else torch.zeros(EXAMPLE_BATCH, *shape)


def describe(
    configuration: str, run: RunRecord, candidates: Candidates, block: DataSet
) -> dict[str, Any]:
    """The card: what the student is, what it takes, how good it is. Accuracies in per cent."""
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
            "python": f"amid.student.load('{named}').predict(['CLIP'])",
            "without_amid": f"torch.export.load('{named}/{PROGRAM}').module()(features)",
            "served": f"mlflow models serve -m models:/amid-{spec.dataset}-student/latest",
        },
    }


def _metrics(run: RunRecord) -> dict[str, float | None]:
    """Of the student at the run's best epoch, per cent; None where there are no such clips."""
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
    """Every training clip that has the target modality (id, label, path, start, end), and what the
    student makes of it (M, D) float32."""
    index, target = features.index, student.target
    used = (index["split"] == "train") & index[f"has_{target}"]
    rows = np.flatnonzero(used.to_numpy())
    representations = student.represent(_clips(features, target, rows))
    places = manifest.set_index("id").loc[index["id"].iloc[rows]]
    clips = index.loc[used, ["id", "label"]].reset_index(drop=True)
    dataset = student.card["dataset"]
    clips["path"] = [_place(dataset, path) for path in places[f"{target}_path"]]
    for name in ("start", "end"):
        clips[name] = places[f"{target}_{name}"].astype(float).to_numpy()
    return clips, representations


def _clips(features: FeatureStore, target: str, rows: np.ndarray) -> Sequence[np.ndarray]:
    """Features of the rows, without padding."""
    array = features.array(target)
    if f"{target}_start" not in features.index:
        return array[rows]
    spans = features.index.iloc[rows][[f"{target}_start", f"{target}_length"]].to_numpy()
    return [array[start : start + length] for start, length in spans]


def _place(dataset: str, path: Any) -> str:
    """A clip's file as the project's root sees it; of an absolute path, which is of one machine
    only, the name."""
    if path is None or (isinstance(path, float) and math.isnan(path)):
        return ""
    place = PurePosixPath(str(path))
    return place.name if place.is_absolute() else str(PurePosixPath("data", dataset) / place)
