"""What the prepared comparisons of MLflow's UI select, show and are opened by."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from amid.core.types import RunRecord
from amid.errors import AmidError
from amid.tracking.views import TAG, View, views
from stages import ui
from tests.recorded import record
from tests.small import ROOT, small_params, sum_all


def of(title: str) -> View:
    return next(view for view in views(small_params()) if view.title == title)


def page(view: View) -> dict:
    return json.loads(json.loads(view.state(["ccl", "amid"]))["state"])


def test_tables_1_4_5_and_6_of_each_data_set() -> None:
    titles = [view.title for view in views(small_params(datasets=["avlips", "grid"]))]
    assert titles == [f"Table {n} on {name}" for name in ("avlips", "grid") for n in (1, 4, 5, 6)]


def test_a_table_shows_the_mean_of_each_row() -> None:
    view = of("Table 1 on avlips")
    assert view.filter == (
        "tags.dataset = 'avlips' and attributes.status = 'FINISHED' and tags.`amid.table1` LIKE '%'"
    )
    shown = page(view)
    assert shown["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "amid.table1"}]
    assert shown["groupsExpanded"] == {
        "tag.amid.table1.ccl": False,
        "tag.amid.table1.amid": False,
    }
    assert [chart["metricKey"] for chart in shown["compareRunCharts"]] == [
        *("validation_student", "validation_teacher"),
        *("best_test_student", "best_test_teacher"),
    ]
    assert [chart.get("lineSmoothness") for chart in shown["compareRunCharts"]][:2] == [0, 0]
    sections = {section["uuid"]: section for section in shown["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in shown["compareRunCharts"]} <= set(sections)
    assert sections["more"]["name"] == "Model metrics"  # MLflow's name for the others' section


def test_the_sensitivity_is_a_point_a_run() -> None:
    view = of("Table 6 on avlips")
    shown = page(view)
    assert (shown["groupBy"], shown["groupsExpanded"]) == (None, {})
    assert shown["selectedColumns"][:2] == ["tags.`amid.table6`", "params.`alpha`"]
    assert [c["xaxis"]["key"] for c in shown["compareRunCharts"] if c["type"] == "SCATTER"] == [
        *("alpha", "beta", "gamma")
    ]


def test_the_address_names_the_experiments_and_the_comparison() -> None:
    view = of("Table 1 on avlips")
    several = urlsplit(view.path(["12", "3"])).fragment
    words = parse_qs(urlsplit(several).query)
    assert several.startswith("/compare-experiments/s?")
    assert json.loads(unquote(words["experiments"][0])) == ["12", "3"]
    assert words["viewStateShareKey"] == [view.key]
    assert not TAG.endswith(view.key)
    assert view.path(["3"]).startswith("/#/experiments/3/runs?compareRunsMode=CHART&")


@pytest.mark.parametrize(
    "uri", ["", "sqlite:///mlruns/mlflow.db", "http://trainer:pw@127.0.0.1:5001/"]
)
def test_links_are_of_the_server_that_has_the_runs(uri: str, monkeypatch, capsys) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(ui, "open_any", lambda root: None)
    monkeypatch.setattr(ui, "prepare_views", lambda *_: {"Table 1": "/#/experiments/1"})
    ui.main("5000")
    told = capsys.readouterr().out
    server = "http://***@127.0.0.1:5001" if uri.startswith("http") else "http://127.0.0.1:5000"
    assert told.endswith(f"Table 1: {server}/#/experiments/1\n")
    assert (f"The runs are on the server {server}" in told) == uri.startswith("http")
    assert "pw" not in told


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("uri", "started"),
    [(None, True), ("sqlite:///other.db", True), ("http://127.0.0.1:5001", False),
     ("https://example.org", False)],
)  # fmt: skip
def test_make_ui_starts_one_only_where_the_runs_are_here(
    uri: str | None, started: bool, tmp_path: Path
) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "mlflow"):
        (programs / name).write_text(f'#!/bin/sh\necho "ran {name} $*"\n')
        (programs / name).chmod(0o755)
    for name in ("requirements.txt", "constraints.txt", ".venv/.installed"):
        (tmp_path / name).touch()
    given = {} if uri is None else {"MLFLOW_TRACKING_URI": uri}
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MLFLOW"))}
    done = subprocess.run(
        ["make", "ui", "PORT=5007"], cwd=tmp_path, env=environment | given, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert "ran python -m stages.ui 5007" in done.stdout
    assert ("ran mlflow ui --host 127.0.0.1 --port 5007" in done.stdout) == started


def test_another_store_is_refused(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    for uri in ("sqlite:///other.db", "file:///mlruns", "postgresql://me:pw@host/db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(AmidError, match=r"give its http or https address") as caught:
            ui.main("5000")
        assert "pw" not in str(caught.value)


def put(made: RunRecord, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(made.to_json())
    sum_all(folder)


def test_the_runs_of_a_table_are_those_of_its_records(tmp_path: Path, monkeypatch) -> None:
    params = small_params(seeds=[0], table1=["student_alone"], table4=["amid"], table5=["amid"])
    made = record({"student": 1}, 0)
    monkeypatch.setattr(ui, "RUNS", tmp_path)
    assert ui.current_runs(params) == {}
    section = next(name for name, of in params.sections.items() if "student_alone" in of)
    put(made, tmp_path / section / "avlips" / "student_alone" / "seed0")
    assert ui.current_runs(params) == {"table1-avlips": {made.key: "student_alone"}}


def test_a_run_has_its_row_in_each_table(tmp_path: Path, monkeypatch) -> None:
    """Rows with equal numbers, and values of Table 6 that are the default, share their runs."""
    values = {"alpha": [4.0, 4.1], "beta": [1.5], "gamma": []}
    table6 = small_params().table6.model_copy(update=values)
    params = small_params(seeds=[0], table1=["amid", "amid_tuned"], table6=table6)
    default, other = record({"student": 1}, 0), record({"student": 1}, 1)
    monkeypatch.setattr(ui, "RUNS", tmp_path)
    for name, made in (("alpha_4", default), ("alpha_4.1", other), ("beta_1.5", default)):
        put(made, tmp_path / "sensitivity" / "avlips" / name / "seed0")
    for name in ("amid", "amid_tuned"):
        put(default, tmp_path / "amid" / "avlips" / name / "seed0")
    found = ui.current_runs(params)
    assert found["table1-avlips"] == {default.key: "amid, amid_tuned"}
    assert found["table6-avlips"] == {default.key: "alpha 4, beta 1.5", other.key: "alpha 4.1"}


def test_a_server_that_is_away_is_one_sentence(monkeypatch) -> None:
    def away(*_) -> None:
        raise ConnectionError("Max retries exceeded")

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://trainer:pw@127.0.0.1:9")
    monkeypatch.setattr(ui, "open_any", away)
    with pytest.raises(
        AmidError, match=r"^the server http://\*\*\*@127.0.0.1:9 does not answer\.$"
    ):
        ui.main("5000")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # no server: an error of another kind
    with pytest.raises(ConnectionError):
        ui.main("5000")
