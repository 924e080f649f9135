"""Every walk in docs/, done in one copy of the project; what it can break is tested there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
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
    ],
    "add-an-extractor.md": [
        "amid/extractors/loudness.py",
        "amid/extractors/__init__.py",
        "params.yaml",
    ],
    "add-a-dataset.md": ["amid/datasets/dots.py", "amid/datasets/__init__.py", "params.yaml"],
}
# Tests of the lists of names, of the DAG, of imports and of each kind's own folder; not those that
# count the project's own runs or compare with its committed tables, which an addition changes.
PARTS = (
    *("tests/test_dag.py", "tests/methods/test_sp.py", "tests/networks/test_attention.py"),
    *("tests/networks/test_encoders.py", "tests/studies/test_worst_class.py"),
    *("tests/studies/test_records.py", "tests/extractors/test_loudness.py"),
    *("tests/extractors/test_log_mel.py", "tests/report/test_table_blocks.py"),
)


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
    done = subprocess.run(words, cwd=place, env=tiny.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
def test_what_additions_can_break_is_whole(place: Path) -> None:
    output = run(place, sys.executable, "-m", "pytest", "-m", "not slow", *PARTS)
    assert " passed" in output
    run(place, "ruff", "check", "amid", "stages")
    run(place, "env", "PYTHONPATH=.", "lint-imports")
