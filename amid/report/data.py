"""The data of the report: run records, exhibits, stages and environment."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amid.config import Params
from amid.core.types import RunRecord
from amid.io.checksums import verify
from amid.io.redact import escape_control
from amid.report import dag
from amid.studies.base import REFERENCE, TITLES, Records

if TYPE_CHECKING:
    import pandas as pd

STUDENT_ALONE = "student_alone"  # the baseline of the headline
EXHIBITS = "exhibits.json"  # in the outs of the stage of that name
FRAMES = 4  # of a clip in its picture


@dataclass(frozen=True)
class ReportData:
    """Everything that the report shows.

    records: of every configuration shown. exhibits: data set -> as from `read_exhibits`.
    stages: as from dag.read_stages. environment: as from environment.facts. benchmark: as from
    benchmark.read_benchmark. modalities: as from modalities.read_modalities. pairs: of Table 7 in
    small, as from studies.contrastive.load.
    """

    params: Params
    records: Records
    folds: Records
    sensitivity: Records
    exhibits: Mapping[str, dict[str, Any]]
    stages: Mapping[str, dag.Stage]
    environment: Sequence[tuple[str, str]]
    benchmark: Mapping[str, pd.DataFrame] | None = None
    modalities: Mapping[str, pd.DataFrame] | None = None
    pairs: Records = field(default_factory=dict)

    def rows(self, names: Sequence[str]) -> Records:
        """The records of some configurations, in the order of `names`."""
        return {
            dataset: {name: runs[name] for name in names} for dataset, runs in self.records.items()
        }

    def tested(self) -> ReportData:
        """The same without the data sets whose runs have no test clips, and so no accuracy."""
        return replace(
            self,
            records=_with_clips(self.records),
            folds=_with_clips(self.folds),
            sensitivity=_with_clips(self.sensitivity),
        )

    def untested(self) -> list[str]:
        """The data sets without test clips."""
        return [dataset for dataset in self.records if dataset not in _with_clips(self.records)]


def configurations(params: Params) -> list[str]:
    """Names of the configurations whose records the report needs, if a section trains them."""
    trained = {name for names in params.sections.values() for name in names}
    lists = (
        params.table1, params.table4, params.table5, params.figure3, params.figure4,
        params.figure5, params.student.configurations,
    )  # fmt: skip
    wanted = [STUDENT_ALONE, REFERENCE, *(name for names in lists for name in names)]
    listed = {name for names in lists for name in names}  # must be there, or an error says so
    return [name for name in dict.fromkeys(wanted) if name in trained or name in listed]


def read_exhibits(folder: Path) -> dict[str, Any]:
    """What `exhibits.write` wrote to `folder`, with pictures as data URLs."""
    path = folder / EXHIBITS
    verify(path)
    found = json.loads(path.read_text(encoding="utf-8"))
    for clip in found["samples"].get("clips", []):
        if "picture" in clip:
            picture = folder / clip["picture"]
            verify(picture)
            data = base64.b64encode(picture.read_bytes()).decode()
            clip["picture"] = f"data:image/jpeg;base64,{data}"
    return found


def _with_clips(records: Mapping[str, Mapping[Any, Sequence[RunRecord]]]) -> dict[str, Any]:
    """The data sets whose runs all have test clips."""
    return {
        dataset: rows
        for dataset, rows in records.items()
        if all(run.labels for runs in rows.values() for run in runs)
    }


def short(name: str) -> str:
    """A configuration's short title, for legends and sentences."""
    return TITLES.get(name, escape_control(name)).replace(" (Eq. 17)", "")
