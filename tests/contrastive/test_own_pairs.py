"""A folder of features without labels, through the stages' own code to a trained run."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from amid import config
from amid.data.extraction import extract_features
from amid.data.manifest import check_manifest
from amid.data.splits import features_fingerprint
from amid.datasets import own
from amid.errors import ConfigError
from amid.extractors import features
from amid.runs.multiprocess import launch
from amid.runs.pairs import check_block, pair_run
from amid.studies import load_params
from amid.training.job import TrainingJob
from tests.pairs import pair_params
from tests.params import write_params

PAIRS = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`mine`: two vectors a clip, of one hidden vector, one clip without its second; no labels."""
    place = tmp_path / "mine"
    (place / "left").mkdir(parents=True)
    (place / "right").mkdir()
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(4, 7))
    with (place / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "left", "right"])
        for n in range(PAIRS):
            hidden = rng.normal(size=4)
            np.save(place / "left" / f"{n}.npy", hidden.astype(np.float32))
            np.save(place / "right" / f"{n}.npy", (hidden @ mixed).astype(np.float32))
            table.writerow([f"c{n}", f"left/{n}.npy", "" if n == 7 else f"right/{n}.npy"])
    return place


def block(folder: Path) -> config.DataSet:
    extract = {
        "left": ("features", features.Options(dims=4)),
        "right": ("features", features.Options(dims=7)),
    }
    options = own.Options(manifest="manifest.csv", labels=False)
    return config.DataSet(
        source="own",
        folder=str(folder),
        options=own.informed(options, str(folder), extract, "left", "dataset/mine.yaml"),
        target="left",
        auxiliary=["right"],
        extract=extract,
        encoders={"left": "mlp", "right": "mlp"},
    )


def test_from_a_folder_without_labels_to_retrieval(folder: Path, tmp_path: Path) -> None:
    mine, data = block(folder), tmp_path / "data" / "mine"
    own.fetch(mine.options, data)
    manifest = own.rows(mine.options, data)
    check_manifest(manifest)
    extract_features(
        manifest,
        data,
        data / "features",
        mine.extract,
        workers=1,
        required=["left", "right"],
        optional=["right"],
    )
    params = pair_params(epochs=20)
    params = params.model_copy(update={"data": {**params.data, "mine": mine}})
    pairs = params.table7.model_copy(update={"datasets": ["mine"]})
    check_block(params, pairs, "table7")
    fingerprint = partial(features_fingerprint, data)
    run = pair_run(params, pairs, "mine", 0, fingerprint, folder="all/seed0")
    assert (run.spec.target, run.spec.auxiliary) == ("left", ("right",))
    record = launch(TrainingJob(run.spec, data, tmp_path / "run"))
    assert 10 <= len(record.clips) <= 13
    assert record.retrieval["best"]["r@1"] > 0.5
    assert record.retrieval["best"]["left_to_right_r@5"] > 0.8


def test_an_encoder_that_cannot_be_trained_is_one_sentence(folder: Path) -> None:
    params = pair_params()
    mine = block(folder).model_copy(update={"encoders": {"left": "mlp", "right": "none"}})
    params = params.model_copy(update={"data": {**params.data, "mine": mine}})
    pairs = params.table7.model_copy(update={"datasets": ["mine"]})
    with pytest.raises(ConfigError, match=r"mine.yaml: 'encoders.right' is 'none', but contr"):
        pair_run(params, pairs, "mine", 0, lambda *_: "x", folder="all/seed0")


def test_data_without_labels_cannot_be_distilled(folder: Path, tmp_path: Path) -> None:
    path = write_params(tmp_path)
    (tmp_path / "dataset" / "mine.yaml").write_text(f"""
source: own
folder: {folder}
options: {{manifest: manifest.csv, labels: false}}
target: left
auxiliary: [right]
extract: {{left: {{extractor: features, dims: 4}}, right: {{extractor: features, dims: 7}}}}
""")
    assert load_params(path).dataset("mine").options.labels is False
    path.write_text(path.read_text().replace("datasets: [avlips]", "datasets: [avlips, mine]"))
    with pytest.raises(ConfigError, match="'datasets' names 'mine', which has no labels"):
        load_params(path)
