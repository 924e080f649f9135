"""The search of each method's numbers on validation: the same count of trials for all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import Field

from amid.config import Model, Name, Params
from amid.errors import ConfigError
from amid.io.canonical_json import canonical_json
from amid.runs.plan import Fingerprint, PlannedRun, configured_run
from amid.studies import rendering
from amid.studies.base import (
    BASELINE,
    Records,
    Study,
    check_configurations,
    check_distinct,
    read_records,
    validation_accuracies,
)
from amid.studies.rendering import Column, Layout, code, mark, number, text, titled
from amid.studies.statistics import mean_std


class Block(Model):
    """The search of each method's numbers: the same count of trials for all, on validation."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    trials: dict[Name, Annotated[list[dict[str, Any]], Field(min_length=1)]]


def plan(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """The search of each method's numbers, with seeds apart from the reported ones."""
    return [
        configured_run(
            params,
            dataset,
            configuration,
            seed,
            fingerprint,
            folder=f"{configuration}/trial{number}/seed{seed}",
            overrides=trial,
            unbroken=True,
        )
        for configuration, trials in params.tune.trials.items()
        for number, trial in enumerate(trials)
        for seed in params.tune.seeds
    ]


def load(params: Params, runs: Path) -> Records:
    """Row: (configuration, number of the trial). Records in the order of the seeds."""
    return {
        dataset: {
            (name, trial): read_records(
                runs / "tune" / dataset / name / f"trial{trial}", params.tune.seeds
            )
            for name, trials in params.tune.trials.items()
            for trial in range(len(trials))
        }
        for dataset in params.datasets
    }


def tune(params: Params, records: Records) -> pd.DataFrame:
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
            row["validation"], row["validation_std"] = mean_std(validation_accuracies(runs))
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


LAYOUT = Layout(
    "The search of each method's numbers",
    (
        Column("configuration", "configuration", None, titled(BASELINE), left=True),
        Column("trial", "trial", None, text),
        Column("overrides", "changes", None, code, left=True),
        Column("validation", "validation"),
        Column("mean_over_data_sets", "mean over data sets", None, number),
        Column("chosen", "chosen", None, mark),
    ),
    "The student's Top-1 on validation in per cent, at its best epoch (under the protocol "
    "`strong`: at the last one), mean ± sample standard deviation over seeds that no reported "
    "number uses. changes: on top of the configuration in params.yaml. Every method has the same "
    "number of trials. Chosen: the highest mean over data sets, of equals the earlier trial. The "
    "test split takes no part.",
)


def _check(params: Params) -> None:
    block = params.tune
    check_distinct("tune.seeds", block.seeds)
    check_configurations(params, "tune.trials", list(block.trials))
    for configuration, trials in block.trials.items():
        for trial in trials:
            params.resolved(configuration, trial)
    counts = {name: len(trials) for name, trials in block.trials.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ConfigError(
            f"params.yaml: 'tune.trials' gives some more trials than others ({shown}); one tuning "
            "budget for all: give each the same number."
        )


def _write(params: Params, runs: Path, reports: Path) -> list[Path]:
    table = tune(params, load(params, runs))
    texts = {"tune.csv": rendering.to_csv(table), "tune.md": rendering.markdown(table, LAYOUT)}
    return [rendering.write_text(reports / name, text) for name, text in texts.items()]


TUNE = Study(block=Block, write=_write, check=_check, trains="tune", plan=plan, on_request=True)
