"""What is on request becomes a stage of DVC when it is asked for, and stays one if it is made."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from amid.errors import AmidError
from stages import known, request
from tests import tiny
from tests.params import change
from tests.small import ROOT

DOWNLOAD = ("-s", "pipelines/data/dvc.yaml:check")  # the parameters are checked before


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    """A copy of the parameters and of what was asked for; `dvc` notes its words and succeeds."""
    files = (*ROOT.glob("dataset/*.yaml"), *ROOT.glob("pipelines/**/params.yaml"))
    for path in (ROOT / "params.yaml", *files):
        place = tmp_path / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(path.read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def dvc(monkeypatch) -> list[list[str]]:
    """The words of each dvc that was started."""
    started: list[list[str]] = []

    def run(command: list[str]) -> subprocess.CompletedProcess:
        assert command[:4] == [sys.executable, "-m", "dvc", "repro"]
        started.append(command[4:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(known.subprocess, "run", run)
    return started


def asked(pipeline: str) -> dict:
    text = Path("pipelines", pipeline, "asked", "params.yaml").read_text()
    assert text.startswith("# Written by ")
    return YAML(typ="safe").load(text)["asked"]


def choose(*names: str) -> None:
    path = Path("params.yaml")
    text = path.read_text().replace("datasets: [avlips]", f"datasets: [{', '.join(names)}]")
    path.write_text(text)


def test_a_study_is_asked_for_with_the_data_sets_of_params(project: Path, dvc) -> None:
    choose("avlips", "grid")
    request.main("tune")
    assert asked("tune") == {"datasets": ["avlips", "grid"], "tables": ["all"]}
    assert dvc == [
        [*DOWNLOAD, "pipelines/data/dvc.yaml:download@grid"],
        ["pipelines/tune/asked/dvc.yaml"],
    ]
    assert asked("student") == {"datasets": [], "tables": []}


def test_a_study_with_data_sets_of_its_own_asks_for_these(project: Path, dvc) -> None:
    request.main("contrastive")
    assert dvc == [
        [*DOWNLOAD, "pipelines/data/dvc.yaml:download@avsentences"],
        ["pipelines/contrastive/asked/dvc.yaml"],
    ]
    sets = {"datasets": ["avsentences"], "tables": ["all"], "extracted": ["avsentences"]}
    assert asked("contrastive") == sets
    choose("avlips", "avsentences")  # whose features another stage makes then
    request.main("contrastive")
    assert asked("contrastive") == {**sets, "extracted": []}


def test_the_report_is_out_of_date_when_a_table_that_it_shows_is_another_one(
    project: Path, dvc
) -> None:
    place = project / known.REQUESTED
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / known.REQUESTED, place)
    before = place.read_text()
    request.main("tune")  # which the report does not show
    assert place.read_text() == before
    (project / "reports").mkdir()
    for pipeline, table in known.SHOWN.items():
        for text in ("one", "two"):
            (project / "reports" / f"{table}.csv").write_text(text)
            others = sums(before) | sums(place.read_text())
            request.main(pipeline)
            told = sums(place.read_text())
            assert told == others | {table: hashlib.sha256(text.encode()).hexdigest()}
            assert list(told) == list(known.SHOWN.values())
            head = place.read_text().partition("table_benchmark:")[0]
            assert head == before.partition("table_benchmark:")[0]
    root = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]["report"]
    assert {known.REQUESTED.as_posix(): list(known.SHOWN.values())} in root["params"]


def sums(text: str) -> dict[str, str]:
    return YAML(typ="safe").load(text)


def test_new_data_sets_are_downloaded_and_known_ones_left_to_the_dvc_at_work(
    project: Path, dvc
) -> None:
    request.main("data")
    assert dvc == []
    assert (project / "data" / "asked").exists()
    choose("avlips", "grid")
    request.main("data")
    # This stage depends on what `check` makes: DVC would refuse to run that within it.
    assert dvc == [["-s", "pipelines/data/dvc.yaml:download@grid"]]
    both = {"avlips": "amid/datasets/avlips", "grid": "amid/datasets/grid"}
    assert asked("data") == both
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("datasets: [avlips, grid]", "datasets: [grid]"))
    request.main("data")
    assert len(dvc) == 1
    assert asked("data") == both  # made before, so it is missed by no command


def test_a_data_set_with_another_folder_is_downloaded_again(project: Path, dvc) -> None:
    change(project / "dataset" / "avlips.yaml", {"folder": "elsewhere"})
    request.main("data")
    assert asked("data") == {"avlips": "elsewhere"}
    assert dvc == [["-s", "pipelines/data/dvc.yaml:download@avlips"]]


@pytest.mark.parametrize("pipeline", ["data", "student"])
@pytest.mark.parametrize("ends", [1, KeyboardInterrupt])
def test_what_could_not_be_made_is_not_known(project, pipeline, ends, monkeypatch) -> None:
    def run(command: list[str]) -> subprocess.CompletedProcess:
        assert len(asked("data")) == 2 or asked("student")["datasets"]
        if ends == 1:
            return subprocess.CompletedProcess(command, 1)
        raise ends

    choose("avlips", "grid")
    before = asked(pipeline)
    monkeypatch.setattr(known.subprocess, "run", run)
    with pytest.raises(SystemExit if ends == 1 else ends):
        request.main(pipeline)
    assert asked(pipeline) == before
    assert not (project / "data" / "asked").exists()


def test_a_pipeline_without_stages_on_request_is_a_sentence(project: Path, dvc) -> None:
    with pytest.raises(AmidError, match=r"pipelines/train has no stages on request"):
        request.main("train")


@pytest.mark.slow(seconds=160)
def test_dvc_downloads_data_that_it_did_not_know_within_a_repro(tmp_path: Path, warm: Path) -> None:
    """With the real DVC: a dvc that was started by a stage of another one meets its locks. The data
    lies outside the project; an experiment of the queue, in a copy, finds it
    and the block that was added to git."""
    place, folder = tiny.clone(tmp_path / "project"), tmp_path / "clips"
    folder.mkdir()
    rows = ["id,label,split,a,b"]
    for split, count in {"train": 8, "validation": 4, "test": 4}.items():
        for n in range(count):
            for name in "ab":
                np.save(folder / f"{split}{n}{name}.npy", np.full(3, n % 2, np.float32))
            clip = f"{split}{n}"
            rows.append(f"{clip},{'xy'[n % 2]},{split},{clip}a.npy,{clip}b.npy")
    (folder / "manifest.csv").write_text("\n".join(rows))

    def run(*words: str) -> str:
        command = [sys.executable, "-m", *words]
        environment = tiny.environment()
        environment["PATH"] = f"{warm}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    run("stages.describe", str(folder), "clips")
    extract = "pipelines/data/dvc.yaml:extract@clips"
    told = run("dvc", "exp", "run", "-S", "datasets=[clips]", extract)
    assert "extract@clips: 16 of 16 clips kept" in told
    status = run("dvc", "status", extract)
    assert "up to date" in status
    subprocess.run(["git", "add", "dataset/clips.yaml"], cwd=place, check=True)
    run(
        "dvc",
        "exp",
        "run",
        "--queue",
        "--name",
        "drawn",
        "-S",
        "dataset/clips.yaml:+options.seed=1",
        extract,
    )
    run("dvc", "queue", "start")
    told = run("dvc", "queue", "logs", "drawn", "--follow")
    assert "extract@clips: 16 of 16 clips kept" in told
    assert "Success" in run("dvc", "queue", "status")
