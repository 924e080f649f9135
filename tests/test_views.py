"""What the prepared comparisons of MLflow's UI select, show and are opened by."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, unquote, urlsplit

from amid.views import TAG, View, views
from tests.small import small_params


def of(title: str) -> View:
    return next(view for view in views(small_params()) if view.title == title)


def page(view: View) -> dict:
    return json.loads(json.loads(view.state())["state"])


def test_tables_1_4_5_and_6_of_each_data_set() -> None:
    titles = [view.title for view in views(small_params(datasets=["avlips", "grid"]))]
    assert titles == [f"Table {n} on {name}" for name in ("avlips", "grid") for n in (1, 4, 5, 6)]


def test_a_table_compares_the_experiments_of_its_rows_and_leaves_others_out() -> None:
    view = of("Table 1 on avlips")
    assert view.sections == ("baselines", "amid", "compared")
    assert "tags.dataset = 'avlips'" in view.filter
    assert "tags.configuration != 'teacher_alone'" in view.filter
    assert view.filter.count("!=") == 1
    shown = page(view)
    assert shown["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "configuration"}]
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
    assert view.sections == ("amid", "sensitivity")
    assert shown["groupBy"] is None
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
