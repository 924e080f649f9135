"""Table 2: retrieval with one modality, test clips as queries in the training clips."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from amid.config import Params
from amid.core.types import RunRecord
from amid.studies import rendering
from amid.studies.base import (
    BASELINE,
    REFERENCE,
    SELECTED,
    Records,
    Study,
    configuration_column,
    load_records,
    spreads,
    with_holm,
)
from amid.studies.rendering import Column, Layout, p_value
from amid.studies.sections import OF_METHODS
from amid.studies.statistics import paired_t

RETRIEVAL = ("r@1", "r@5", "r@10", "map")


def table2(records: Records) -> pd.DataFrame:
    """Retrieval, one row a data set and configuration: test clips as queries in the training
    clips, by the student.

    p_seeds: paired t test of R@1 over seeds against AMID, corrected within a data set.
    """
    rows = []
    for dataset, configurations in records.items():
        for configuration, runs in configurations.items():
            row = {"dataset": dataset, "configuration": configuration, "seeds": len(runs)}
            for name in RETRIEVAL:
                row |= spreads(runs, name, lambda run, at, name=name: _retrieved(run, name, at))
            mine, reference = (
                [_retrieved(run, "r@1", "best") for run in compared]
                for compared in (runs, configurations.get(REFERENCE, []))
            )
            defined = configuration != REFERENCE and reference and None not in mine + reference
            rows.append({**row, "p_seeds": paired_t(mine, reference) if defined else None})
    return with_holm(pd.DataFrame(rows), ["dataset"], "p_seeds")


def _retrieved(run: RunRecord, name: str, at: str) -> float | None:
    return run.retrieval.get(at, {}).get(name)


LAYOUT = Layout(
    "Table 2: retrieval with one modality",
    (
        configuration_column(BASELINE),
        Column("r@1", "R@1", "R@1"),
        Column("r@5", "R@5", "R@5"),
        Column("r@10", "R@10", "R@10"),
        Column("map", "mAP", "mAP"),
        Column("p_seeds_holm", "p (seeds), R@1", "$p$ (seeds), R@1", p_value),
    ),
    "The student's representations of the test clips as queries in those of the training clips, "
    "ranked by cosine. R@K: share of queries with a clip of their class among the K nearest; mAP: "
    "mean over queries of the average precision of the whole ranking. In per cent, mean ± sample "
    f"standard deviation over seeds, {SELECTED}; the last epoch stands in table2.csv. p: two-sided "
    "paired t test of R@1 over seeds against AMID, with Holm's correction over the rows of a data "
    "set. There is no column of the paper's: none of the numbers of its Table 2 is known to us.",
)


def _write(params: Params, runs: Path, reports: Path) -> list[Path]:
    table = table2(load_records(params, runs, params.table1, OF_METHODS))
    return rendering.write(table, LAYOUT, reports, "table2")


TABLE2 = Study(  # of the configurations of Table 1
    block=None, write=_write, rows=lambda params: params.table1, sections=OF_METHODS
)
