"""When does the adversarial term help? Readings of Eqs. 11-13, judged on validation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from amid.config import Model, Name, Params
from amid.runs.plan import Fingerprint, PlannedRun, configured_run
from amid.studies import rendering
from amid.studies.base import (
    Records,
    Study,
    check_configurations,
    check_distinct,
    read_records,
    validation_accuracies,
    with_holm,
)
from amid.studies.rendering import Column, Layout, code, mark, p_value, signed
from amid.studies.statistics import mean_std, paired_t

ReadingName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.]*$")]


class Block(Model):
    """Readings of the adversarial term: changes of one configuration, against one without it."""

    configuration: Name
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    without: Name
    variants: Annotated[dict[ReadingName, dict[str, Any]], Field(min_length=1)]


def plan(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """The study of the adversarial term: every reading with the study's own seeds."""
    return [
        configured_run(
            params,
            dataset,
            configuration,
            seed,
            fingerprint,
            folder=f"{name}/seed{seed}",
            overrides=changes,
        )
        for name, (configuration, changes) in grid(params).items()
        for seed in params.table_adversarial.seeds
    ]


def grid(params: Params) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name of a reading -> (configuration, what it changes); the one without the term first."""
    study = params.table_adversarial
    readings = {name: (study.configuration, changes) for name, changes in study.variants.items()}
    return {"without": (study.without, {}), **readings}


def load(params: Params, runs: Path) -> Records:
    """Row: name of a reading, "without" first. Records in the order of the study's seeds."""
    return {
        dataset: {
            name: read_records(
                runs / "adversarial" / dataset / name, params.table_adversarial.seeds
            )
            for name in grid(params)
        }
        for dataset in params.datasets
    }


def adversarial(records: Records) -> pd.DataFrame:
    """Readings of the adversarial term, one row a data set and reading, "without" first.

    validation: the student's Top-1 at its best epoch; difference: to the row without the term, in
    points; p: paired t test over seeds, corrected within a data set. mean_over_data_sets: of the
    differences. test, p_test: of the row without the term and of the chosen reading alone, the one
    with the highest mean difference; the others' test accuracies had no say and are not shown.
    """
    rows = []
    for dataset, readings in records.items():
        accuracies = {name: validation_accuracies(runs) for name, runs in readings.items()}
        for name, values in accuracies.items():
            row = {"dataset": dataset, "reading": name, "seeds": len(values)}
            row["validation"], row["validation_std"] = mean_std(values)
            row["difference"] = float(np.mean(np.subtract(values, accuracies["without"])))
            row["p"] = None if name == "without" else paired_t(values, accuracies["without"])
            rows.append(row)
    table = with_holm(pd.DataFrame(rows), ["dataset"], "p")
    of_reading = table.groupby("reading", sort=False)["difference"]
    table["mean_over_data_sets"] = of_reading.transform("mean")
    readings = table[table["reading"] != "without"]
    chosen = readings.loc[readings["mean_over_data_sets"].idxmax(), "reading"]
    table["chosen"] = table["reading"] == chosen
    tests = {
        (dataset, name): [100 * run.accuracy("student") for run in of_dataset[name]]
        for dataset, of_dataset in records.items()
        for name in ("without", chosen)
    }
    places = list(zip(table["dataset"], table["reading"], strict=True))
    spread = [mean_std(tests.get(place, [])) for place in places]
    table["test"], table["test_std"] = zip(*spread, strict=True)
    table["p_test"] = [
        paired_t(tests[dataset, name], tests[dataset, "without"]) if name == chosen else None
        for dataset, name in places
    ]
    return table


LAYOUT = Layout(
    "When does the adversarial term help?",
    (
        Column("reading", "reading", "reading", code, left=True),
        Column("validation", "validation", "validation"),
        Column("difference", "difference", "difference", signed),
        Column("p_holm", "p", "$p$", p_value),
        Column("mean_over_data_sets", "difference, mean over data sets", None, signed),
        Column("chosen", "chosen", None, mark),
        Column("test", "test", "test"),
        Column("p_test", "p (test)", "$p$ (test)", p_value),
    ),
    "The student's Top-1 in per cent at its best epoch on validation (under the protocol `strong`: "
    "at the last one), mean ± sample standard deviation over seeds that no other table uses; "
    "difference: to the row `without`, which has gamma = 0, in points; p: two-sided paired t test "
    "over seeds against it, with Holm's correction over the readings of a data set. What each "
    "reading changes stands in pipelines/adversarial/params.yaml (table_adversarial.variants). "
    "Chosen: the highest mean difference on validation; of it and of `without` alone the test "
    "split is shown, with the p of their one comparison.",
)


def _check(params: Params) -> None:
    block = params.table_adversarial
    check_distinct("table_adversarial.seeds", block.seeds)
    check_configurations(params, "table_adversarial.configuration", [block.configuration])
    check_configurations(params, "table_adversarial.without", [block.without])
    for variant in block.variants.values():
        params.resolved(block.configuration, variant)


def _write(params: Params, runs: Path, reports: Path) -> list[Path]:
    return rendering.write(adversarial(load(params, runs)), LAYOUT, reports, "table_adversarial")


TABLE_ADVERSARIAL = Study(
    block=Block, write=_write, check=_check, trains="adversarial", plan=plan, on_request=True
)
