"""docs/add-a-method.md, walked: a throw-away method is added, trained, tabled and taken out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.small import ROOT, write_data
from tests.stores import put_store
from tests.walks import follow

NETWORK = {
    "dim": 16,
    "gru": {"hidden": [12], "state": 16},
    "fusion": {"hidden": 16},
}


def run(place: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(place), "DVC_ROOT": str(place)}
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=place, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the library on a small data set, with the walk's files, line and numbers in it."""
    place = tmp_path_factory.mktemp("walk")
    for name in ("amid", "stages"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    write_data(place / "data" / "avlips")
    shutil.copy(ROOT / "params.yaml", place)
    touched = follow("add-a-method.md", place)
    assert touched[:-1] == ["amid/methods/sp.py", "amid/methods/__init__.py", "params.yaml"]
    yaml = YAML()
    values = yaml.load((place / "params.yaml").read_text())
    values["seeds"] = [0]
    for key, value in NETWORK.items():
        values["network"][key] = value
    values["training"] |= {"epochs": 2, "warmup_epochs": 1, "batch_size": 8}
    for method in ("crd", "crcd"):
        values["methods"][method]["dim"] = 16
    with (place / "params.yaml").open("w") as file:
        yaml.dump(values, file)
    put_store(place)
    for section in ("baselines", "compared", "amid"):
        run(place, "stages.train", section, "avlips")
    return place


def test_the_new_method_is_trained_beside_the_others(place: Path) -> None:
    found = sorted(path.name for path in (place / "runs" / "compared" / "avlips").iterdir())
    assert found == ["ccl", "crcd", "crd", "gmc", "sp"]
    record = place / "runs" / "compared" / "avlips" / "sp" / "seed0" / "record.json"
    history = json.loads(record.read_text())["history"]
    assert {"train_classification", "train_similarity"} <= history[0].keys()


def test_the_new_method_has_its_row_and_goes_with_its_name(place: Path) -> None:
    run(place, "stages.table", "table1")
    rows = (place / "reports" / "table1.csv").read_text()
    assert "avlips,sp," in rows
    yaml = YAML()
    values = yaml.load((place / "params.yaml").read_text())
    values["table1"].remove("sp")
    with (place / "params.yaml").open("w") as file:
        yaml.dump(values, file)
    run(place, "stages.table", "table1")
    rest = (place / "reports" / "table1.csv").read_text()
    assert "avlips,sp," not in rest
    assert "avlips,crd," in rest


def test_the_new_tests_pass(place: Path) -> None:
    output = run(place, "pytest", "-q", "-p", "no:cacheprovider", "tests/methods/test_sp.py")
    assert "3 passed" in output
