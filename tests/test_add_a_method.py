"""docs/add-a-method.md, walked: a throw-away method is added, trained, tabled and taken out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.small import ROOT, write_data

WALK = (ROOT / "docs" / "add-a-method.md").read_text(encoding="utf-8")
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
    files = re.findall(r"New: `([\w/.]+)`\n\n```python\n(.*?)```", WALK, re.S)
    assert {Path(name).parts[0] for name, _ in files} == {"amid", "tests"}
    for name, text in files:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    line = re.search(r"`amid/methods/__init__.py`\n\n```text\n(.*?)```", WALK, re.S)[1]
    names = place / "amid" / "methods" / "__init__.py"
    names.write_text(names.read_text().replace("}", line + "}"))
    yaml = YAML()
    values = yaml.load((ROOT / "params.yaml").read_text())
    changes = yaml.load(re.search(r"```yaml\n(methods:.*?)```", WALK, re.S)[1])
    for key, value in changes.items():
        if isinstance(value, dict):
            values[key].update(value)
        else:
            values[key] = value
    values["seeds"] = [0]
    for key, value in NETWORK.items():
        values["network"][key] = value
    values["training"] |= {"epochs": 2, "warmup_epochs": 1, "batch_size": 8}
    for method in ("crd", "crcd"):
        values["methods"][method]["dim"] = 16
    with (place / "params.yaml").open("w") as file:
        yaml.dump(values, file)
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
    run(place, "stages.table1")
    rows = (place / "reports" / "table1.csv").read_text()
    assert "avlips,sp," in rows
    yaml = YAML()
    values = yaml.load((place / "params.yaml").read_text())
    values["table1"].remove("sp")
    with (place / "params.yaml").open("w") as file:
        yaml.dump(values, file)
    run(place, "stages.table1")
    rest = (place / "reports" / "table1.csv").read_text()
    assert "avlips,sp," not in rest
    assert "avlips,crd," in rest


def test_the_new_tests_pass(place: Path) -> None:
    output = run(place, "pytest", "-q", "-p", "no:cacheprovider", "tests/losses/test_similarity.py")
    assert "3 passed" in output
