"""Run records -> the frames of the tables that the paper has not; numbers as in amid.results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from amid.config import Params
from amid.errors import AmidError
from amid.records import Records, SelectionRecords, SensitivityRecords, TuneRecords
from amid.results import spreads, with_holm
from amid.statistics import mean_std, paired_t, pooled_std, seeds_needed, variance_test
from amid.types import RunRecord, canonical_json


def selection(records: SelectionRecords) -> pd.DataFrame:
    """Sample selection, one row a data set, share of mismatched pairs, ratio and rule.

    student: test Top-1. steps, samples, scored, compute: shares (0..1) of what the run on all
    samples has: optimiser steps; samples that went forward and backward; samples that only went
    forward, to be chosen among, as a share of its samples; and 3 samples + scored, a backward pass
    counted as two forward passes.
    """
    rows = []
    for dataset, places in records.items():
        for (rule, ratio, mismatched), runs in places.items():
            if ("all", 1.0, mismatched) not in places:
                raise AmidError(
                    "params.yaml: 'table_selection.ratios' lacks 1.0, the run on all samples that "
                    "the others are compared with."
                )
            whole, own = _steps(places["all", 1.0, mismatched]), _steps(runs)
            row = {"dataset": dataset, "mismatched": mismatched, "ratio": ratio, "rule": rule}
            row["seeds"] = len(runs)
            row |= spreads(runs, "student", lambda run, at: run.accuracy("student", at))
            row["steps"] = own["steps"] / whole["steps"]
            row["samples"] = own["samples"] / whole["samples"]
            row["scored"] = own["scored"] / whole["samples"]
            row["compute"] = (3 * own["samples"] + own["scored"]) / (3 * whole["samples"])
            rows.append(row)
    return pd.DataFrame(rows)


def tune(params: Params, records: TuneRecords) -> pd.DataFrame:
    """The search, one row a data set, configuration and trial.

    overrides: what the trial changes, as JSON. validation: the student's Top-1 on validation at
    the best epoch. chosen: the configuration's trial with the highest `mean_over_data_sets`, the
    earlier one of equals.
    """
    rows = []
    for dataset, trials in records.items():
        for (configuration, trial), runs in trials.items():
            row = {"dataset": dataset, "configuration": configuration, "trial": trial}
            row["overrides"] = canonical_json(params.tune.trials[configuration][trial])
            row["seeds"] = len(runs)
            row["validation"], row["validation_std"] = mean_std(_validation(runs))
            rows.append(row)
    table = pd.DataFrame(rows)
    of_trial = table.groupby(["configuration", "trial"], sort=False)["validation"]
    table["mean_over_data_sets"] = of_trial.transform("mean")
    best = table.groupby("configuration", sort=False)["mean_over_data_sets"].idxmax()
    chosen = table.loc[best].set_index("configuration")["trial"]
    table["chosen"] = table["trial"] == table["configuration"].map(chosen)
    return table


def tuned(table: pd.DataFrame) -> dict[str, int]:
    """{configuration: number of the trial that the search chose}; table: as from tune."""
    chosen = table[table["chosen"]].drop_duplicates("configuration")
    return {name: int(n) for name, n in zip(chosen["configuration"], chosen["trial"], strict=True)}


def sensitivity(records: SensitivityRecords, params: Params) -> pd.DataFrame:
    """Is a weight's range wider than noise? One row a data set, weight and list of values.

    values: "paper" for the weight's own list, "wide" for the wide one. spread: highest less lowest
    mean of the student's test Top-1, in points. std: over seeds, pooled over the values. p: F test
    of the means with the seeds as blocks, corrected over the weights of a list.
    """
    rows = []
    for dataset, places in records.items():
        for kind in ("paper", "wide"):
            for weight in ("alpha", "beta", "gamma"):
                listed = params.table6.wide if kind == "wide" else getattr(params.table6, weight)
                values = sorted(float(value) for value in listed)
                if not values:
                    continue
                accuracies = _student([places[weight, value] for value in values])
                pooled = pooled_std(accuracies)
                means = accuracies.mean(1)
                row = {"dataset": dataset, "values": kind, "weight": weight}
                row |= {"lowest": values[0], "highest": values[-1], "count": len(values)}
                row |= {"seeds": accuracies.shape[1], "spread": float(np.ptp(means))}
                row["best"] = values[int(means.argmax())]
                row["std"] = None if pooled is None else pooled.std
                rows.append({**row, "p": variance_test(accuracies)})
    columns = ["dataset", "values", "weight", "lowest", "highest", "count", "seeds", "spread"]
    table = pd.DataFrame(rows, columns=[*columns, "best", "std", "p"])
    return with_holm(table, ["dataset", "values"], "p")


def adversarial(records: Records) -> pd.DataFrame:
    """Readings of the adversarial term, one row a data set and reading, "without" first.

    validation: the student's Top-1 at its best epoch; difference: to the row without the term, in
    points; p: paired t test over seeds, corrected within a data set. mean_over_data_sets: of the
    differences. test, p_test: of the row without the term and of the chosen reading alone, the one
    with the highest mean difference; the others' test accuracies had no say and are not shown.
    """
    rows = []
    for dataset, readings in records.items():
        accuracies = {name: _validation(runs) for name, runs in readings.items()}
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


def seeds(records: Records, params: Params) -> pd.DataFrame:
    """How many seeds a difference needs, one row a data set, design and difference in points.

    design: "unpaired", two configurations with seeds of their own; "paired", the same seeds. std:
    over seeds, pooled over the configurations; paired, of the differences to the first of them.
    needed, needed_upper: seeds a side by that deviation and by its upper 95 % bound.
    """
    rows, study = [], params.table_seeds
    for dataset, configurations in records.items():
        accuracies = _student(list(configurations.values()))  # (configurations, seeds)
        designs = {"unpaired": accuracies, "paired": accuracies[1:] - accuracies[0]}
        for design, groups in designs.items():
            pooled = pooled_std(groups)
            for difference in study.differences:
                row = {"dataset": dataset, "design": design, "difference": difference}
                row |= {"std": None, "degrees": None, "std_upper": None}
                needed = {"needed": None, "needed_upper": None}
                if pooled is not None:
                    row |= dict(zip(("std", "degrees", "std_upper"), pooled, strict=True))
                    needed = {
                        name: seeds_needed(
                            difference,
                            std,
                            paired=design == "paired",
                            power=study.power,
                            level=study.level,
                        )
                        for name, std in (("needed", pooled.std), ("needed_upper", pooled.upper))
                    }
                rows.append({**row, **needed, "seeds": accuracies.shape[1]})
    table = pd.DataFrame(rows)
    whole = dict.fromkeys(("degrees", "needed", "needed_upper"), "Int64")
    return table.astype(whole)


def _student(groups: Sequence[Sequence[RunRecord]]) -> np.ndarray:
    """(groups, seeds) test Top-1 of the student in per cent, at the epoch chosen on validation."""
    return 100 * np.array([[run.accuracy("student") for run in runs] for runs in groups])


def _validation(runs: Sequence[RunRecord]) -> list[float]:
    return [100 * run.history[run.best_epoch]["validation_student"] for run in runs]


def _steps(runs: Sequence[RunRecord]) -> dict[str, float]:
    names = ("steps", "samples", "scored")
    return {name: float(np.mean([run.steps[name] for run in runs])) for name in names}
