"""docs/own-data.md, walked: its folder, its block, its table, its mistakes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.params import change, write_params
from tests.small import ROOT
from tests.warm import python

WALK = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
SCRIPT, FEW_LABELS = re.findall(r"```python\n(.*?)```", WALK, re.S)
BLOCK = re.search(r"```yaml\n(.*?)```", WALK, re.S)[1]
(FOUND,) = re.findall(r"```text\n(# .*?)```", WALK, re.S)
MANIFEST, ERRORS = re.findall(r"```text\n(id,label.*?|error: .*?)```", WALK, re.S)


def run(place: Path, *words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(place)}
    return subprocess.run(
        [python(), *words], cwd=place, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Path:
    """The walk's data beside a folder with the walk's block, two epochs and one seed."""
    place = tmp_path_factory.mktemp("own") / "project"
    place.mkdir()
    (place / "make_digits.py").write_text(SCRIPT)
    write_params(place)
    for words in (["make_digits.py"], ["-m", "stages.describe", "../digits", "digits"]):
        done = run(place, *words)
        assert done.returncode == 0, done.stderr
    folder = str(place.parent / "digits")
    shown = done.stdout.replace(folder, "/home/me/digits")
    assert "".join(_aligned(shown)).startswith(FOUND + BLOCK + "# written: dataset/digits.yaml.")
    written = place / "dataset" / "digits.yaml"
    assert YAML().load(written.read_text())["folder"] == folder
    training = {"epochs": 2, "warmup_epochs": 1}  # of the protocol that the block has
    numbers = {"datasets": ["digits"], "seeds": [0], "training": {"strong": training}}
    change(place / "params.yaml", numbers)
    return place


def _aligned(text: str) -> list[str]:
    """Lines with the comment of the folder, which the command leaves out, as the walk shows it."""
    comment = "# a change of anything in it runs the stages again"
    lines = text.splitlines(keepends=True)
    return [
        line.rstrip("\n").ljust(28) + comment + "\n" if line.startswith("folder:") else line
        for line in lines
    ]


@pytest.mark.slow
def test_the_walks_mistakes_are_told_as_it_says(place: Path, tmp_path: Path) -> None:
    data = shutil.copytree(place.parent / "digits", tmp_path / "digits")
    for name in ("params.yaml", "dataset/digits.yaml"):
        text = (place / name).read_text().replace(str(place.parent / "digits"), str(data))
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (data / "manifest.csv").write_text(MANIFEST)
    done = run(tmp_path, "-m", "stages.download", "digits")
    assert done.returncode == 1
    assert done.stderr == ERRORS
    assert not (tmp_path / "data" / "digits" / "raw").exists()


@pytest.mark.slow
def test_few_labels_as_the_walk_makes_them(place: Path, tmp_path: Path) -> None:
    (place / "make_few.py").write_text(FEW_LABELS)
    done = run(place, "make_few.py")
    assert done.returncode == 0, done.stderr
    few = pd.read_csv(place.parent / "digits" / "few.csv")
    assert few["split"].value_counts().to_dict() == {"train": 1078, "test": 599, "validation": 120}
    train = few[few["split"] == "train"]
    assert train["label"].value_counts().tolist() == [5] * 10
    assert few.loc[few["split"] != "train", "label"].notna().all()
    # What the walk asks for besides is right before anything is trained.
    copied = shutil.copytree(place, tmp_path / "project")
    given = re.findall(r"-S '(sections\.amid|table1)=\[(.*?)\]'", WALK)
    values = {name: names.split(",") for name, names in given}
    assert set(values) == {"sections.amid", "table1"}
    rows = {"sections": {"amid": values["sections.amid"]}, "table1": values["table1"]}
    change(copied / "params.yaml", rows)
    assert "-S 'dataset/digits.yaml:++training.modality_dropout=0.0'" in WALK
    few_labels = {"options": {"manifest": "few.csv"}, "training": {"modality_dropout": 0.0}}
    change(copied / "dataset" / "digits.yaml", few_labels)
    done = run(copied, "-m", "stages.check")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow(seconds=120)
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
        if name == "auxiliary":
            probed = [line for line in done.stdout.splitlines() if "linear probe" in line]
            assert len(probed) == 2
            assert "\n".join(probed) in WALK
    done = run(place, "-m", "stages.table", "table1")
    assert done.returncode == 0, done.stderr
    counts = json.loads((place / "data" / "digits" / "extract.json").read_text())
    table = pd.read_csv(place / "reports" / "table1.csv").set_index("configuration")
    assert {"student_alone", "crd", "ccl", "amid"} <= set(table.index)
    assert table["student"].between(20, 100).all()  # ten labels: chance is 10
    record = place / "runs" / "amid" / "digits" / "amid" / "seed0" / "record.json"
    steps = json.loads(record.read_text())["steps"]
    assert steps["incomplete"] == 2 * counts["without"]["bottom"]
