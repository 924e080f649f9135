"""The project's folder: DVC's own where a stage runs in a copy of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from amid.errors import ConfigError
from amid.io.project import check_in_reach, find_input, project_home
from amid.sources.download import obtain


def test_dvc_says_where_the_project_is() -> None:
    assert project_home({"DVC_ROOT": "/somewhere/project"}) == Path("/somewhere/project")


def test_without_dvc_it_is_the_working_directory(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert project_home({}) == project_home({"DVC_ROOT": ""}) == tmp_path


def test_the_environment_of_the_process_is_asked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert project_home() == tmp_path


@pytest.fixture
def copy(tmp_path: Path, monkeypatch) -> Path:
    """The working directory of an experiment: a copy of the project without untracked files."""
    home, copy = tmp_path / "project", tmp_path / "copy"
    (home / "own").mkdir(parents=True)
    (home / "own" / "file.zip").write_bytes(b"of the project")
    copy.mkdir()
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(home))
    return copy


def test_relative_inputs_are_found_in_the_project_itself(copy: Path, tmp_path: Path) -> None:
    home = tmp_path / "project"
    assert find_input("own") == home / "own"
    assert find_input("nowhere") == Path("nowhere")
    assert find_input(tmp_path / "x") == tmp_path / "x"
    assert find_input("~/x") == Path.home() / "x"
    (copy / "own").mkdir()
    assert find_input("own") == Path("own")  # the copy's own comes first


def test_a_relative_mirror_is_the_projects(copy: Path, tmp_path: Path) -> None:
    target = tmp_path / "got.zip"
    got = obtain("file.zip", "http://127.0.0.1:9/file.zip", target, mirror="own", sha256=None)
    assert got.path == tmp_path / "project" / "own" / "file.zip"


def test_a_watched_folder_out_of_reach_is_told_with_its_whole_path(
    copy: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as told:
        check_in_reach("own", "mine")
    assert "dataset/mine.yaml: 'folder' is 'own', which this copy of the project lacks" in str(
        told.value
    )
    assert str(tmp_path / "project" / "own") in str(told.value)
    (copy / "own").mkdir()
    check_in_reach("own", "mine")
    check_in_reach(str(tmp_path / "absent"), "mine")  # DVC names it
