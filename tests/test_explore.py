"""docs/explore.ipynb is committed without outputs, and runs in a clone as well as after a repro."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tests.recorded import put, record
from tests.small import ROOT

NOTEBOOK = ROOT / "docs" / "explore.ipynb"
nbformat = pytest.importorskip("nbformat", reason="docs/explore.ipynb is read by nbformat")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """All that the notebook reads of a clone."""
    shutil.copytree(ROOT / "reports", tmp_path / "reports")
    return tmp_path


def test_it_is_valid_and_holds_no_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) >= 4
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


@pytest.mark.slow
def test_a_clone_shows_the_tables_and_says_how_to_get_the_runs(place: Path, monkeypatch) -> None:
    other = place / "runs" / "amid" / "avlips" / "amid" / "seed0"  # of an earlier choice
    put(record({"student": 30}), other)
    text = execute(place, monkeypatch)
    assert "Without runs:" in text
    assert "`make repro` trains them" in text
    assert "AMID - method" in text
    assert "image/png" in text  # class by class
    assert "True" not in text.rpartition("folder")[2]


@pytest.mark.slow
def test_runs_become_curves_and_are_found(place: Path, monkeypatch) -> None:
    table = place / "reports" / "table1_seeds.csv"
    seeds = pd.read_csv(table)
    for number, row in enumerate(seeds.itertuples()):
        made = record({"student": 30}, row.seed)
        made = replace(made, spec=replace(made.spec, code=row.configuration))
        put(made, place / "runs" / "any" / row.dataset / row.configuration / f"seed{row.seed}")
        seeds.loc[number, "run"] = made.key
    seeds.to_csv(table, index=False)
    text = execute(place, monkeypatch)
    assert "Without runs" not in text
    assert text.count("image/png") == 2
    assert "False" not in text.rpartition("folder")[2]


def execute(place: Path, monkeypatch) -> str:
    """All outputs of the notebook, run in `place`, as text."""
    nbclient = pytest.importorskip("nbclient", reason="docs/explore.ipynb is run by nbclient")
    pytest.importorskip("ipykernel", reason="docs/explore.ipynb runs in ipykernel")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(place)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(str(output.get("text") or output.get("data")) for output in outputs)
