"""The DAG is read as DVC reads it; everything is drawn right of what it needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from amid.report import dag
from stages.report import FILES
from tests.small import ROOT
from tests.test_dag import stages

ROOT_STAGES = ["dvc.yaml", *(f"pipelines/{name}/dvc.yaml" for name in FILES)]
TEXT = """
stages:
  made:
    foreach: ${data}
    do:
      desc: first of all
      cmd: x
      deps: [amid]
      outs: ["data/${key}/raw"]
  trained:
    matrix: {dataset: "${datasets}"}
    desc: after it
    cmd: x
    deps: ["data/${item.dataset}/raw"]
    outs: ["runs/trained/${item.dataset}"]
  shown:
    desc: of both
    cmd: x
    deps: [runs/trained, data/avlips/raw/a]
    outs: [{reports/t.md: {cache: false}}]
    metrics: [reports/t.json]
"""


def test_stages_are_read_from_their_text(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "dvc.yaml").write_text(TEXT)
    read = dag.read_stages(tmp_path, ["sub/dvc.yaml"])
    assert list(read) == ["made", "trained", "shown"]
    assert [stage.each for stage in read.values()] == [True, True, False]
    assert read["shown"].outs == ("reports/t.md", "reports/t.json")
    assert read["made"].command("grid") == "dvc repro sub/dvc.yaml:made@grid"
    assert read["shown"].command("grid") == "dvc repro sub/dvc.yaml:shown"


def test_what_follows_from_other_needs_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text(TEXT)
    read = dag.read_stages(tmp_path, ["dvc.yaml"])
    assert read["shown"].command("grid") == "dvc repro shown"
    assert dag.needs(read) == {"made": set(), "trained": {"made"}, "shown": {"trained"}}
    assert dag.columns(dag.needs(read)) == [["made"], ["trained"], ["shown"]]
    picture, words = dag.draw(read, ["trained"])
    assert "shown" not in picture
    assert picture.count('class="edge"') == 1
    assert words == "2 stages from left to right. trained needs made."


def test_a_long_name_is_made_as_narrow_as_its_box(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text(TEXT.replace("  made:", "  a_name_of_25_letters_or_so:"))
    read = dag.read_stages(tmp_path, ["dvc.yaml"])
    picture, _ = dag.draw(read, ["trained"])
    (fitted,) = re.findall(r"<text[^>]*textLength=\"90\"[^>]*>([^<]*)<", picture)
    assert fitted == "a_name_of_25_letters_or_so"


def test_every_stage_of_the_project_is_drawn_once_and_right_of_its_needs() -> None:
    read = dag.read_stages(ROOT, ROOT_STAGES)
    assert set(read) <= set(stages())
    edges = dag.needs(read)
    place = {name: n for n, column in enumerate(dag.columns(edges)) for name in column}
    assert set(place) == set(read)
    assert all(place[name] > place[other] for name, of in edges.items() for other in of)
    assert edges["extract"] == {"download", "request"}
    ways = dag.routed(edges)
    column = {name: n for n, names in enumerate(dag.columns(ways)) for name in names}
    assert place == {name: column[name] for name in place}
    assert all(column[name] == column[other] + 1 for name, of in ways.items() for other in of)
    assert edges["table3"] == {"folds"}
    assert {"exhibits", "folds", "sensitivity"} <= edges["report"]


DRAW = """
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from amid.report import dag
stages = dag.read_stages(Path("."), {files!r})
ends = [name for name, stage in stages.items() if stage.file == "dvc.yaml"]
picture, alt = dag.draw(stages, ends)
print(hashlib.sha256((picture + alt).encode()).hexdigest())
"""


@pytest.mark.slow
def test_the_drawing_does_not_depend_on_the_seed_of_hashes() -> None:
    """Whose order sets of names have: a page of another process has other bytes else."""
    found = set()
    for seed in range(4):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", DRAW.format(files=ROOT_STAGES)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1
