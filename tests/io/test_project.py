"""The project's folder: DVC's own where a stage runs in a copy of it."""

from __future__ import annotations

from pathlib import Path

from amid.io.project import project_home


def test_dvc_says_where_the_project_is() -> None:
    assert project_home({"DVC_ROOT": "/somewhere/project"}) == Path("/somewhere/project")


def test_without_dvc_it_is_the_working_directory(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert project_home({}) == project_home({"DVC_ROOT": ""}) == tmp_path


def test_the_environment_of_the_process_is_asked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert project_home() == tmp_path
