"""Every walk in docs/, done in one copy of the project; what it can break is tested there."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from amid.core.checkpoint import read_checkpoint
from tests import tiny
from tests.params import change
from tests.small import ROOT
from tests.walks import follow

# Page -> the files that its steps touch, but for the tests they add.
WALKS = {
    "add-a-method.md": ["amid/methods/sp.py", "amid/methods/__init__.py", "params.yaml"],
    "add-a-table.md": [
        "amid/studies/worst_class.py",
        "amid/studies/__init__.py",
        "params.yaml",
        "dvc.yaml",
    ],
    "add-an-encoder.md": [
        "amid/networks/attention.py",
        "amid/networks/__init__.py",
        "params.yaml",
        "dataset/avlips.yaml",
    ],
    "add-an-extractor.md": [
        "amid/extractors/loudness.py",
        "amid/extractors/__init__.py",
        "dataset/avlips.yaml",
    ],
    "add-a-dataset.md": [
        "amid/datasets/dots.py",
        "dataset/dots.yaml",
        "amid/datasets/__init__.py",
    ],
}
# Tests of the lists of names, of the DAG, of params.yaml and of each kind's own folder, those that
# count runs, and those that compare documents, committed tables and the committed page.
PARTS = (
    *("tests/test_dag.py", "tests/test_config.py", "tests/test_readme.py", "tests/test_plots.py"),
    *("tests/methods/test_sp.py", "tests/methods/test_compared.py", "tests/runs/test_plan.py"),
    *("tests/networks/test_attention.py", "tests/networks/test_encoders.py"),
    *("tests/studies/test_worst_class.py", "tests/studies/test_records.py"),
    *("tests/extractors/test_loudness.py", "tests/extractors/test_log_mel.py"),
    *("tests/extractors/test_ngrams.py", "tests/stages/test_mistakes.py"),
    *("tests/report/test_page.py", "tests/report/test_dag.py", "tests/report/test_table_blocks.py"),
)
DATASETS = ["avlips", "dots"]
REPRO = (sys.executable, "-m", "dvc", "repro", "table1", "table_worst")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the working tree with all walks done; every walk in a fresh copy first."""
    fresh = copied(tmp_path_factory.mktemp("walks") / "fresh")
    for page, files in WALKS.items():
        alone = shutil.copytree(fresh, fresh.parent / page)
        touched = follow(page, alone)
        assert [name for name in touched if not name.startswith("tests/")] == files, page
        shutil.rmtree(alone)
        follow(page, fresh)
    params = fresh / "params.yaml"
    named = "datasets: [avlips]", f"datasets: [{', '.join(DATASETS)}]"  # by docs/add-a-dataset.md
    assert named[0] in params.read_text()
    params.write_text(params.read_text().replace(*named, 1))
    return fresh


def copied(place: Path) -> Path:
    """The files of the working tree that git knows or could know, as a repository of their own."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    commit(place, "init", "-q")
    commit(place, "add", "-A")
    commit(place, "commit", "-qm", "start")
    return place


def commit(place: Path, *words: str) -> None:
    subprocess.run(["git", *tiny.IDENTITY, *words], cwd=place, check=True)


def run(place: Path, *words: str) -> str:
    environment = tiny.environment()
    environment["PATH"] = f"{place.parent / 'bin'}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow(seconds=280)
def test_what_additions_can_break_is_whole(place: Path) -> None:
    output = run(place, sys.executable, "-m", "pytest", "-m", "not slow", *PARTS)
    assert " passed" in output
    run(place, "ruff", "check", "amid", "stages")
    run(place, "env", "PYTHONPATH=.", "lint-imports")


@pytest.fixture(scope="module")
def made(place: Path, tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Path:
    """The copy with all additions and tiny data, after `dvc repro` of two tables: what was added to
    the data sets, methods, extractors, encoders and studies is upstream of these. The whole DAG of
    two data sets is twice as many stages, of which each imports torch and MLflow for seconds."""
    made = shutil.copytree(place, tmp_path_factory.mktemp("made") / "project")
    (made.parent / "bin").symlink_to(warm)
    for path in (*made.rglob("dvc.lock"), *(made / "reports").rglob("*")):
        if path.is_file():
            path.unlink()
    tiny.shrink(made)
    few = {"training": {"epochs": 2, "warmup_epochs": 1}, "auxiliary_training": {"epochs": 2}}
    few["options"] = {"clips_per_label": 10}
    change(made / "params.yaml", {"datasets": DATASETS})
    change(made / "dataset" / "dots.yaml", few)
    commit(made, "add", "-A")
    commit(made, "commit", "-qm", "additions")
    run(made, *REPRO)
    return made


def rows(made: Path, table: str) -> list[tuple[str, str]]:
    """(data set, configuration) of the rows of a table, all of them with an accuracy."""
    lines = list(csv.DictReader((made / "reports" / table).read_text().splitlines()))
    assert all(0 <= float(line["student"]) <= 100 for line in lines)
    return [(line["dataset"], line["configuration"]) for line in lines]


@pytest.mark.slow(seconds=290)
def test_a_repro_puts_what_was_added_into_the_tables(made: Path) -> None:
    listed = YAML(typ="safe").load((made / "params.yaml").read_text())["table1"]
    assert "sp" in listed
    assert rows(made, "table1.csv") == list(product(DATASETS, listed))
    worst = ["student_alone", "ccl", "amid"]  # of params.yaml in docs/add-a-table.md
    assert rows(made, "table_worst.csv") == list(product(DATASETS, worst))
    sound = np.load(made / "data" / "avlips" / "features" / "audio.npy", allow_pickle=False)
    assert sound.shape == (80, 25, 1)  # loudness in 25 steps
    encoder, _ = read_checkpoint(made / "data" / "avlips" / "embeddings" / "audio.safetensors")
    assert any(name.endswith("score.weight") for name in encoder)  # of attention pooling
    for dataset in DATASETS:
        compared = made / "runs" / "compared" / dataset
        assert sorted(path.name for path in compared.iterdir()) == [
            "ccl",
            "crcd",
            "crd",
            "gmc",
            "sp",
        ]
        record = json.loads((compared / "sp" / "seed0" / "record.json").read_text())
        assert {"train_classification", "train_similarity"} <= record["history"][0].keys()
    assert record["classes"] == ["climb", "fall", "stay"]


@pytest.mark.slow
def test_a_second_repro_has_nothing_to_do(made: Path) -> None:
    assert "Running stage" not in run(made, *REPRO)


@pytest.mark.slow
def test_a_row_goes_with_its_name(made: Path) -> None:
    values = YAML(typ="safe").load((made / "params.yaml").read_text())
    kept = [name for name in values["table1"] if name != "sp"]
    assert len(kept) == len(values["table1"]) - 1
    change(made / "params.yaml", {"table1": kept})
    run(made, "python", "-m", "stages.table", "table1")
    assert rows(made, "table1.csv") == list(product(DATASETS, kept))
