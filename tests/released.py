"""Small runs, and a student released from them, for the tests of what is done with it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from amid.core.types import RunRecord
from amid.data.feature_store import FeatureStore
from amid.extractors.frame_dct import Options
from amid.io.checksums import record_checksums
from amid.serving.release import release
from amid.training.job import TrainingJob
from amid.training.train import train as train_job
from tests.media.clips import write_video
from tests.once import once
from tests.params import put_params, read_params
from tests.small import small_params, small_run, write_data
from tests.stores import put_store

CONFIGURATIONS = {"student_alone": "baselines", "amid": "amid"}  # and their sections
SEEDS = (0, 1)
# The features of tests.small, 8 x 6, as an extractor gives them: such a student takes real clips.
EXTRACT = {"frames": 8, "box": None, "size": [4, 4], "coefficients": 3, "differences": True}


def write_clips(folder: Path, *, modalities: tuple[str, ...] = ("audio",)) -> Path:
    """The data of tests.small, and a manifest with a path a clip and a span for every second."""
    data = write_data(folder, modalities=modalities)
    index = pd.read_parquet(data / "features" / "index.parquet")
    manifest = index[["id", "label", "split", "fold", "group"]].copy()
    manifest["video_path"] = [f"raw/{clip}.avi" for clip in manifest["id"]]
    second = np.arange(len(manifest)) % 2 == 1
    manifest["video_start"] = np.where(second, 0.25, np.nan)
    manifest["video_end"] = np.where(second, 0.75, np.nan)
    manifest.to_parquet(data / "manifest.parquet", index=False)
    return data


def train(configuration: str, seed: int, data: Path, folder: Path) -> tuple[RunRecord, Path]:
    """The record of a run, its fixed teacher trained before if it has one, and its model file."""
    run = small_run(data, configuration, seed)
    teacher = None
    if run.teacher is not None:
        _fit(run.teacher, data, folder / "teacher", None)
        teacher = folder / "teacher" / "model.safetensors"
    return _fit(run.spec, data, folder, teacher), folder / "model.safetensors"


def put_runs(data: Path, runs: Path) -> tuple[dict[str, list[RunRecord]], dict[str, Path]]:
    """The runs of CONFIGURATIONS and SEEDS as the stages leave them; records and model files."""
    for name, seed, folder in _folders(runs):
        record, _ = train(name, seed, data, folder)
        (folder / "record.json").write_text(record.to_json())
        record_checksums(folder, "record.json")
    return found_runs(runs)


def found_runs(runs: Path) -> tuple[dict[str, list[RunRecord]], dict[str, Path]]:
    """Records and model files of what `put_runs` has left in `runs`."""
    records: dict[str, list[RunRecord]] = {}
    models = {}
    for name, _, folder in _folders(runs):
        record = RunRecord.from_json((folder / "record.json").read_text())
        records.setdefault(name, []).append(record)
        models[record.key] = folder / "model.safetensors"
    return records, models


def _folders(runs: Path) -> list[tuple[str, int, Path]]:
    return [
        (name, seed, runs / section / "avlips" / name / f"seed{seed}")
        for name, section in CONFIGURATIONS.items()
        for seed in SEEDS
    ]


def release_small(
    folder: Path, data: Path, records: dict[str, list[RunRecord]], models: dict[str, Path]
) -> Path:
    """A student of these runs in `folder`."""
    block = small_params().dataset("avlips")
    extract = {**block.extract, "video": ("frame_dct", Options(**EXTRACT))}
    block = block.model_copy(update={"extract": extract})
    manifest = pd.read_parquet(data / "manifest.parquet")
    store = FeatureStore.open(data / "features")
    release(folder, records, models, block, store, manifest)
    return folder


def made_student(place: Path) -> Path:
    """Everything at once, below `place`: the student's folder there."""
    shutil.copytree(once("student", _make), place, dirs_exist_ok=True)
    return place / "student" / "avlips"


def _make(place: Path) -> None:
    data = write_clips(place / "data" / "avlips")
    release_small(place / "student" / "avlips", data, *put_runs(data, place / "runs"))


def put_project(place: Path) -> None:
    """What the stage `student@avlips` needs, in `place`."""
    put_runs(write_clips(place / "data" / "avlips"), place / "runs")
    put_store(place)
    values = read_params()
    values["seeds"] = list(SEEDS)
    values["student"]["configurations"] = list(CONFIGURATIONS)
    values["data"]["avlips"]["extract"]["video"] = {"extractor": "frame_dct", **EXTRACT}
    put_params(place, values)


def silent_clips(folder: Path, names: Sequence[str] = ("one.avi", "two.avi")) -> list[Path]:
    """Real videos without a sound track."""
    return [write_video(folder / name, frames=25, codec="MJPG") for name in names]


def _fit(spec, data: Path, folder: Path, teacher: Path | None) -> RunRecord:
    folder.mkdir(parents=True, exist_ok=True)
    return train_job(TrainingJob(spec, data, folder, teacher=teacher, checkpoint_every=9))
