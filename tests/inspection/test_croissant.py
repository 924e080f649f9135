"""The description in Croissant: what stands in it, and that mlcroissant validates and reads it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amid import config
from amid.datasets import DATASETS, avlips, own
from amid.inspection.croissant import CONTEXT, croissant, write_croissant
from amid.io.checksums import sha256_file
from tests.params import write_params
from tests.small import ROOT
from tests.warm import python

pytestmark = pytest.mark.usefixtures("warm")

BLOCK = """\
source: own
folder: {folder}
options: {{manifest: manifest.csv}}
target: a
auxiliary: [b]
extract:
  a: {{extractor: features, dims: 4}}
  b: {{extractor: features, dims: 5}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a data set of its own that was downloaded: 12 clips, one without `b`."""
    folder, project = tmp_path / "mine", tmp_path / "project"
    lines = ["id,label,split,a,b"]
    for name, dims in {"a": 4, "b": 5}.items():
        (folder / name).mkdir(parents=True)
        for number in range(12):
            np.save(folder / name / f"{number}.npy", np.ones(dims, np.float32))
    for number in range(12):
        split = "test" if number > 9 else "validation" if number > 7 else "train"
        other = f"b/{number}.npy" if number else ""
        lines.append(f"clip{number},{['no', 'yes'][number % 2]},{split},a/{number}.npy,{other}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    data = project / "data" / "mine"
    data.mkdir(parents=True)
    params = write_params(project)
    (project / "dataset" / "mine.yaml").write_text(BLOCK.format(folder=folder))
    options = config.load(params).dataset("mine").options
    own.fetch(options, data)
    own.rows(options, data).to_parquet(data / "manifest.parquet", index=False)
    return project


def described(project: Path) -> Path:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [python(), "-m", "stages.croissant", "mine"]
    done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return project / "reports" / "croissant" / "mine.json"


def test_an_own_manifest_is_described(project: Path) -> None:
    path = described(project)
    found = json.loads(path.read_text())
    assert found["conformsTo"] == [
        "http://mlcommons.org/croissant/1.0",
        "http://mlcommons.org/croissant/RAI/1.0",
    ]
    assert "12 clips of 2 classes (2 test, 8 train, 2 validation)" in found["description"]
    (file,) = found["distribution"]
    assert file["sha256"] == sha256_file(project / "data" / "mine" / "manifest.parquet")
    assert (path.parent / file["contentUrl"]).resolve() == (
        project / "data" / "mine" / "manifest.parquet"
    )
    kinds = {field["@id"]: field["dataType"] for field in found["recordSet"][0]["field"]}
    assert kinds["clips/id"] == kinds["clips/a_path"] == "sc:Text"
    assert kinds["clips/fold"] == "sc:Integer"
    assert kinds["clips/a_start"] == "sc:Float"
    assert found["rai:dataCollection"].startswith("Not recorded")
    assert str(project.parent) not in path.read_text()
    assert path.read_bytes() == described(project).read_bytes()


def test_mlcroissant_validates_it_and_reads_the_records(project: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="requirements-dev.txt has it")
    dataset = mlcroissant.Dataset(jsonld=str(described(project)))
    assert not dataset.metadata.issues.errors
    records = [
        {name.removeprefix("clips/"): _text(value) for name, value in record.items()}
        for record in dataset.records("clips")
    ]
    table = pd.read_parquet(project / "data" / "mine" / "manifest.parquet")
    assert [record["id"] for record in records] == table["id"].tolist()
    assert [record["b_path"] for record in records][:2] == [None, "raw/files/b/1.npy"]
    assert {record["label"] for record in records} == {"no", "yes"}


def test_the_committed_description_of_avlips_is_valid(tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="requirements-dev.txt has it")
    path = shutil.copy(ROOT / "reports" / "croissant" / "avlips.json", tmp_path)
    dataset = mlcroissant.Dataset(jsonld=str(path))
    assert not dataset.metadata.issues.errors
    assert dataset.metadata.data_biases
    assert dataset.metadata.data_collection.startswith("Generated from one seed")


def test_what_a_module_says_of_its_data_set_is_in_croissants_terms(tmp_path: Path) -> None:
    """Of every data set: known fields and sentences, which go into the description as they are."""
    from importlib import import_module

    table = pd.DataFrame({"id": ["a"], "label": ["b"], "split": ["train"]})
    table.to_parquet(tmp_path / "manifest.parquet")
    block = config.load(ROOT / "params.yaml").dataset("avlips")
    abouts = {name: getattr(import_module(m), "ABOUT", {}) for name, m in DATASETS.items()}
    assert abouts["avlips"] is avlips.ABOUT
    for name, about in abouts.items():
        assert all(isinstance(value, str) and value for value in about.values()), name
        found = croissant(name, block, tmp_path, about, "manifest.parquet")
        write_croissant(found, tmp_path / "x.json")
        assert json.loads((tmp_path / "x.json").read_text()) == found
        for key, value in about.items():
            assert key.startswith("rai:") or key in ("description", "url", "citeAs", "license")
            assert value in found[key]
    assert CONTEXT["citeAs"] == "cr:citeAs"


def _text(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value
