"""docs/own-data.md, walked: its folder, its block, its table, its mistakes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.small import ROOT

WALK = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
SCRIPT = re.search(r"```python\n(.*?)```", WALK, re.S)[1]
BLOCK = re.search(r"```yaml\n(.*?)```", WALK, re.S)[1]
MANIFEST, ERRORS = re.findall(r"```text\n(id,label.*?|error: .*?)```", WALK, re.S)


def run(place: Path, *words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(place)}
    return subprocess.run(
        [sys.executable, *words], cwd=place, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the walk's data and block, two epochs and one seed."""
    place = tmp_path_factory.mktemp("own")
    (place / "make_digits.py").write_text(SCRIPT)
    done = run(place, "make_digits.py")
    assert done.returncode == 0, done.stderr
    yaml = YAML()
    values = yaml.load((ROOT / "params.yaml").read_text())
    values["data"] |= yaml.load(BLOCK)
    values["datasets"], values["seeds"] = ["digits"], [0]
    values["training"] |= {"epochs": 2, "warmup_epochs": 1}
    with (place / "params.yaml").open("w") as file:
        yaml.dump(values, file)
    return place


def test_the_walks_mistakes_are_told_as_it_says(place: Path, tmp_path: Path) -> None:
    for name in ("own", "params.yaml"):
        copy = shutil.copytree if (place / name).is_dir() else shutil.copy
        copy(place / name, tmp_path / name)
    (tmp_path / "own" / "digits" / "manifest.csv").write_text(MANIFEST)
    done = run(tmp_path, "-m", "stages.download", "digits")
    assert done.returncode == 1
    assert done.stderr == ERRORS
    assert not (tmp_path / "data" / "digits" / "raw").exists()


@pytest.mark.slow
def test_the_walk_ends_in_table_1(place: Path) -> None:
    stages = (
        "download",
        "extract",
        "auxiliary",
        "train baselines",
        "train compared",
        "train warmup",
    )
    for stage in (*stages, "train amid"):
        name, *words = stage.split()
        done = run(place, "-m", f"stages.{name}", *words, "digits")
        assert done.returncode == 0, done.stderr
        if name == "extract":
            assert done.stdout.strip() in WALK
    done = run(place, "-m", "stages.table", "table1")
    assert done.returncode == 0, done.stderr
    counts = json.loads((place / "data" / "digits" / "extract.json").read_text())
    table = pd.read_csv(place / "reports" / "table1.csv").set_index("configuration")
    assert {"student_alone", "crd", "ccl", "amid"} <= set(table.index)
    assert table["student"].between(20, 100).all()  # ten labels: chance is 10
    record = place / "runs" / "amid" / "digits" / "amid" / "seed0" / "record.json"
    steps = json.loads(record.read_text())["steps"]
    assert steps["incomplete"] == 2 * counts["without"]["bottom"]
