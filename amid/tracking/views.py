"""Comparisons prepared for MLflow's UI: which runs, columns and charts a table's link opens.

A prepared comparison is what the UI's own "Save current view" would have made: a tag on an
experiment, whose value is JSON, opened by the tag's key in the address. The fields are those of
MLflow 3.17's UI (`ExperimentPageUIState`); another version ignores what it does not know.

A run that several tables share, or several rows, is logged once: in the experiment of whichever
stage trained it, under the name that it has there. So a comparison neither looks for its runs in
some sections alone nor groups them by that name: each run is marked with its row in each table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from amid.config import Params
from amid.tracking.client import experiments

if TYPE_CHECKING:
    from mlflow import MlflowClient

TAG = "mlflow.sharedViewState."
ROW = "amid."  # tag of a run, the table's name after it: its row there, as the table stands
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
    """One prepared comparison, of a `table` on a `dataset`. grouped: the runs of a row are shown as
    their mean; else each run by itself."""

    table: str
    dataset: str
    title: str
    columns: tuple[str, ...]
    charts: tuple[dict[str, Any], ...]
    grouped: bool

    @property
    def key(self) -> str:
        return f"{self.table}-{self.dataset}"

    @property
    def tag(self) -> str:
        """Of a run: its row in this table."""
        return ROW + self.table

    @property
    def filter(self) -> str:
        """Of the table as it stands: not the runs of other weights and numbers that were tried
        before, which have the same data set and configuration."""
        return (
            f"tags.dataset = '{self.dataset}' and attributes.status = 'FINISHED' "
            f"and tags.`{self.tag}` LIKE '%'"
        )

    def state(self, rows: Iterable[str]) -> str:
        """As the UI stores it. rows: of the runs that are there."""
        row = f"tags.`{self.tag}`"
        page = {
            "searchFilter": self.filter,
            "orderByKey": row,
            "orderByAsc": True,
            "selectedColumns": [row, *self.columns],
            "runsHiddenMode": "SHOW_ALL",
            "groupBy": _by(self.tag) if self.grouped else None,
            "groupsExpanded": {f"tag.{self.tag}.{name}": False for name in rows if self.grouped},
            "useGroupedValuesInCharts": self.grouped,
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

    def path(self, experiments: Iterable[str]) -> str:
        """Of the page below the server's address; experiments: the ids of those with its runs."""
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
        for number in (1, 4, 5):
            made.append(_of_rows(number, dataset))
        made.append(_of_weights(dataset))
    return made


def prepare_views(
    client: MlflowClient, views: Sequence[View], current: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Store each comparison in MLflow; title -> path of its page below the UI's address.

    current: by a comparison's key, the runs of the table as it stands: key of the run -> its row.
    Of a run that was logged twice the later one is shown. Comparisons none of whose runs are logged
    are left out.
    """
    paths = {}
    found = _mark(client, views, current)
    for view in views:
        if places := found[view.key]:
            state = view.state(sorted(set(current[view.key].values())))
            for one in places:
                client.set_experiment_tag(one, TAG + view.key, state)
            paths[view.title] = view.path(places)
    return paths


def _mark(
    client: MlflowClient, views: Sequence[View], current: Mapping[str, Mapping[str, str]]
) -> dict[str, set[str]]:
    """Marks the runs of each comparison, and no others, with their rows; the comparison's key ->
    ids of the experiments that these runs are in."""
    places: dict[str, set[str]] = {view.key: set() for view in views}
    seen: set[str] = set()
    token, searched = None, experiments(client)
    while searched:  # page by page, the latest run first
        page = client.search_runs(
            searched,
            "attributes.status = 'FINISHED'",
            max_results=1000,
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        for run in page:
            key, tags = run.data.tags.get("amid.run"), run.data.tags
            for view in views:
                if tags.get("dataset") != view.dataset:
                    continue
                row = None if key in seen else current.get(view.key, {}).get(key)
                if row is not None:
                    places[view.key].add(run.info.experiment_id)
                    if tags.get(view.tag) != row:
                        client.set_tag(run.info.run_id, view.tag, row)
                elif view.tag in tags:
                    client.delete_tag(run.info.run_id, view.tag)
            if key is not None:
                seen.add(key)
        token = page.token
        if not token:
            break
    return places


def _of_rows(number: int, dataset: str) -> View:
    """The runs of a table's rows, averaged over seeds."""
    return View(
        table=f"table{number}",
        dataset=dataset,
        title=f"Table {number} on {dataset}",
        columns=COLUMNS,
        charts=(*_curves(), *_bars()),
        grouped=True,
    )


def _of_weights(dataset: str) -> View:
    """Table 6: the student over each weight, a point a run."""
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
    return View(
        table="table6",
        dataset=dataset,
        title=f"Table 6 on {dataset}",
        columns=(*(f"params.`{weight}`" for weight in WEIGHTS), *COLUMNS),
        charts=(*scatters, lines),
        grouped=False,
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


def _by(tag: str) -> dict[str, Any]:
    keys = [{"mode": "tag", "groupByData": tag}]
    return {"aggregateFunction": "average", "groupByKeys": keys}
