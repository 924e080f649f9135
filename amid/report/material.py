"""What the report is made of, as the stages before it left it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from amid.config import Params
from amid.records import FoldRecords, Records, SensitivityRecords
from amid.report import dag
from amid.report.exhibits import EXHIBITS
from amid.results import REFERENCE, TITLES
from amid.shown import printable
from amid.sums import check_sum
from amid.types import RunRecord

ALONE = "student_alone"  # what the headline compares with


@dataclass(frozen=True)
class Material:
    """All that the report is made of.

    records: of every configuration that it shows. exhibits: data set -> what `read_exhibits` gives.
    stages: as from dag.read. environment: (what, which) of the machine's software.
    """

    params: Params
    records: Records
    folds: FoldRecords
    sensitivity: SensitivityRecords
    exhibits: Mapping[str, dict[str, Any]]
    stages: Mapping[str, dag.Stage]
    environment: Sequence[tuple[str, str]]

    def rows(self, names: Sequence[str]) -> Records:
        """The records of some configurations, in the order of `names`."""
        return {
            dataset: {name: runs[name] for name in names} for dataset, runs in self.records.items()
        }

    def tested(self) -> Material:
        """The same without the runs that have no test clips: there is no accuracy to show."""
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
    """Those whose records the report needs, as far as a section trains them."""
    trained = {name for names in params.sections.values() for name in names}
    lists = (
        params.table1, params.table4, params.table5, params.figure3, params.figure4,
        params.figure5, params.student.configurations,
    )  # fmt: skip
    wanted = [ALONE, REFERENCE, *(name for names in lists for name in names)]
    listed = {name for names in lists for name in names}  # must be there, or an error says so
    return [name for name in dict.fromkeys(wanted) if name in trained or name in listed]


def read_exhibits(folder: Path) -> dict[str, Any]:
    """What `amid.report.exhibits` wrote to a folder, pictures as data URLs."""
    path = folder / EXHIBITS
    check_sum(path)
    found = json.loads(path.read_text(encoding="utf-8"))
    for clip in found["samples"].get("clips", []):
        if "picture" in clip:
            picture = folder / clip["picture"]
            check_sum(picture)
            data = base64.b64encode(picture.read_bytes()).decode()
            clip["picture"] = f"data:image/jpeg;base64,{data}"
    return found


def _with_clips(records: Mapping[str, Mapping[Any, Sequence[RunRecord]]]) -> dict[str, Any]:
    """The data sets whose runs were tested."""
    return {
        dataset: rows
        for dataset, rows in records.items()
        if all(run.labels for runs in rows.values() for run in runs)
    }


def short(name: str) -> str:
    """A configuration's title, for a legend or within a sentence."""
    return TITLES.get(name, printable(name)).replace(" (Eq. 17)", "")
