"""Comparisons prepared for MLflow's UI: which runs, columns and charts a table's link opens.

A prepared comparison is what the UI's own "Save current view" would have made: a tag on an
experiment, whose value is JSON, opened by the tag's key in the address. The fields are those of
MLflow 3.17's UI (`ExperimentPageUIState`); another version ignores what it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from amid.config import Params
from amid.tracking.client import experiment_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

TAG = "mlflow.sharedViewState."
TABLES = "amid.tables"  # tag of a run: the comparisons that it belongs to, as the tables stand
COLUMNS = (
    *("params.`seed`", "metrics.`best_validation_student`"),
    *("metrics.`best_test_student`", "metrics.`best_test_teacher`", "metrics.`best_test_r_at_1`"),
)
WEIGHTS = ("alpha", "beta", "gamma")
EPOCHS = ("validation_student", "validation_teacher")  # a line each
CHOSEN = ("best_test_student", "best_test_teacher")  # a bar each
SHOWN, MORE = "table", "more"  # the sections of the page


@dataclass(frozen=True)
class View:
    """One prepared comparison. sections: whose experiments are compared; groups: configurations
    whose runs are shown as their mean, none: each run by itself."""

    key: str
    title: str
    sections: tuple[str, ...]
    filter: str
    columns: tuple[str, ...]
    charts: tuple[dict[str, Any], ...]
    groups: tuple[str, ...]

    def state(self) -> str:
        """As the UI stores it."""
        page = {
            "searchFilter": self.filter,
            "orderByKey": "tags.`configuration`",
            "orderByAsc": True,
            "selectedColumns": ["tags.`configuration`", *self.columns],
            "runsHiddenMode": "SHOW_ALL",
            "groupBy": _by_configuration() if self.groups else None,
            "groupsExpanded": {f"tag.configuration.{name}": False for name in self.groups},
            "useGroupedValuesInCharts": bool(self.groups),
            "compareRunCharts": list(self.charts),
            # The UI adds a chart of each other metric to the section of this very name.
            "compareRunSections": [
                _section(SHOWN, self.title, display=True),
                _section(MORE, "Model metrics", display=False),
            ],
            "isAccordionReordered": True,
        }
        return json.dumps(
            {"name": self.title, "createdAt": 0, "updatedAt": 0, "state": json.dumps(page)}
        )

    def path(self, experiments: Sequence[str]) -> str:
        """Of the page below the server's address; experiments: the ids of the sections'."""
        ids = sorted(experiments)  # as the UI does; the first one's tags are read
        if len(ids) == 1:
            page = f"experiments/{ids[0]}/runs?"
        else:
            several = quote(json.dumps(ids, separators=(",", ":")))
            page = f"compare-experiments/s?experiments={several}&"
        return f"/#/{page}compareRunsMode=CHART&viewStateShareKey={self.key}"


def views(params: Params) -> list[View]:
    """Tables 1, 4, 5 and 6 of each data set."""
    made = []
    for dataset in params.datasets:
        for number, rows in ((1, params.table1), (4, params.table4), (5, params.table5)):
            made.append(_of_rows(params, number, dataset, rows))
        made.append(_of_weights(params, dataset))
    return made


def prepare_views(
    client: MlflowClient, views: Sequence[View], current: Mapping[str, Collection[str]]
) -> dict[str, str]:
    """Store each comparison in MLflow; title -> path of its page below the UI's address.

    current: the keys of the runs of each table as it stands, by the comparison's key; the runs are
    marked with the tag TABLES, by which comparisons find them. Comparisons of experiments that do
    not exist yet are left out.
    """
    paths = {}
    _mark(client, views, current)
    for view in views:
        named = map(client.get_experiment_by_name, map(experiment_name, view.sections))
        found = [one.experiment_id for one in named if one and one.lifecycle_stage == "active"]
        if len(found) == len(view.sections):
            for one in found:
                client.set_experiment_tag(one, TAG + view.key, view.state())
            paths[view.title] = view.path(found)
    return paths


def _mark(
    client: MlflowClient, views: Sequence[View], current: Mapping[str, Collection[str]]
) -> None:
    names = {experiment_name(section) for view in views for section in view.sections}
    found = [one.experiment_id for name in names if (one := client.get_experiment_by_name(name))]
    token = None
    while found:  # page by page
        page = client.search_runs(
            found, "attributes.status = 'FINISHED'", max_results=1000, page_token=token
        )
        for run in page:
            key = run.data.tags.get("amid.run")
            tables = " ".join(sorted(view for view, keys in current.items() if key in keys))
            if tables != run.data.tags.get(TABLES, ""):
                client.set_tag(run.info.run_id, TABLES, tables)
        token = page.token
        if not token:
            break


def _of_rows(params: Params, number: int, dataset: str, rows: Sequence[str]) -> View:
    """The runs of a table's rows, averaged over seeds."""
    sections = [name for name, of in params.sections.items() if set(of) & set(rows)]
    key, title = f"table{number}-{dataset}", f"Table {number} on {dataset}"
    return View(
        key=key,
        title=title,
        sections=tuple(sections),
        filter=_trainings(dataset, key),
        columns=COLUMNS,
        charts=(*_curves(), *_bars()),
        groups=tuple(rows),
    )


def _of_weights(params: Params, dataset: str) -> View:
    """Table 6: the student over each weight, a point a run."""
    swept = params.table6.configuration
    home = [name for name, rows in params.sections.items() if swept in rows]
    scatters = tuple(
        _chart(
            "SCATTER",
            weight,
            runsCountToCompare=100,
            xaxis={"key": weight, "type": "PARAM"},
            yaxis={"key": CHOSEN[0], "type": "METRIC"},
        )
        for weight in WEIGHTS
    )
    lines = _chart("PARALLEL", "all", selectedParams=WEIGHTS, selectedMetrics=CHOSEN)
    key = f"table6-{dataset}"
    return View(
        key=key,
        title=f"Table 6 on {dataset}",
        sections=(*home, "sensitivity"),
        filter=_trainings(dataset, key),
        columns=(*(f"params.`{weight}`" for weight in WEIGHTS), *COLUMNS),
        charts=(*scatters, lines),
        groups=(),
    )


def _trainings(dataset: str, key: str) -> str:
    """Of a table as it stands: not the runs of other weights and numbers that were tried before,
    which have the same data set and configuration."""
    return (
        f"tags.dataset = '{dataset}' and attributes.status = 'FINISHED' "
        f"and tags.`{TABLES}` LIKE '%{key}%'"
    )


def _curves() -> list[dict[str, Any]]:
    return [
        _chart(
            "LINE",
            metric,
            runsCountToCompare=20,
            metricKey=metric,
            selectedMetricKeys=[metric],
            xAxisKey="step",
            useGlobalXaxisKey=False,
            lineSmoothness=0,  # left out, the UI takes 70 and draws moving averages
            useGlobalLineSmoothing=False,
        )
        for metric in EPOCHS
    ]


def _bars() -> list[dict[str, Any]]:
    return [_chart("BAR", metric, runsCountToCompare=20, metricKey=metric) for metric in CHOSEN]


def _section(identity: str, name: str, *, display: bool) -> dict[str, Any]:
    return {
        "uuid": identity,
        "name": name,
        "display": display,
        "isReordered": True,
        "columns": 2,
    }


def _chart(kind: str, name: str, **settings: Any) -> dict[str, Any]:
    return {
        "uuid": name,
        "type": kind,
        "metricSectionId": SHOWN,
        "deleted": False,
        "isGenerated": False,
        **settings,
    }


def _by_configuration() -> dict[str, Any]:
    keys = [{"mode": "tag", "groupByData": "configuration"}]
    return {"aggregateFunction": "average", "groupByKeys": keys}
