"""Table 3: cross-validation by group, in each setup of what the teacher sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import Field, field_validator

from amid.config import DataSet, Model, Name, Params, check_protocol
from amid.core.types import RunRecord
from amid.errors import ConfigError
from amid.runs.plan import Fingerprint, PlannedRun, configured_run
from amid.studies import paper_numbers, rendering
from amid.studies.base import (
    BASELINE,
    REFERENCE,
    SELECTED,
    Records,
    Study,
    check_configurations,
    check_distinct,
    configuration_column,
    read_records,
    with_holm,
)
from amid.studies.rendering import Column, Layout, number, p_value, text
from amid.studies.statistics import mean_std, paired_t

LEAST_FOLDS = 3
EMOTION = ("wa", "ua", "f1")
FOLD_COLUMNS = [
    *("dataset", "setup", "configuration", "fold", "seed", "run", "best_epoch"),
    *EMOTION,
    *(f"{name}_last" for name in EMOTION),
]


class Block3(Model):
    """Cross-validation: every setup of a data set x configurations x folds x seeds.

    folds: "all" of the data set's, or the numbers of those that test.
    training: on top of the top-level `training`; a data set's own comes on top of both.
    """

    baseline: Name
    configurations: Annotated[list[Name], Field(min_length=1)]
    folds: Any = "all"
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    training: dict[str, Any]

    @field_validator("folds")
    @classmethod
    def _all_or_numbers(cls, folds: Any) -> Any:
        whole = isinstance(folds, list) and all(type(n) is int and n >= 0 for n in folds)
        if folds != "all" and not (whole and folds):
            raise ValueError("it must be `all` or a list of folds' numbers, from 0 up")
        return folds


def settle(params: Params, dataset: str, there: Sequence[int]) -> Params:
    """The parameters with the folds' numbers instead of "all"; there: the folds of the clips.

    Raises ConfigError where these are not what `table3.folds` names, or too few.
    """
    asked = params.table3.folds
    if not params.dataset(dataset).setups:
        return params
    shown = ", ".join(map(str, there)) or "none"
    if len(there) < LEAST_FOLDS:
        raise ConfigError(
            f"params.yaml: 'table3' cross-validates the data set '{dataset}', which has setups, "
            f"but its folds are {shown}, and three are needed: one tests, one validates, the "
            f"others train; give it more folds, or remove 'setups' in dataset/{dataset}.yaml."
        )
    absent = [n for n in asked if n not in there] if asked != "all" else []
    if absent:
        raise ConfigError(
            f"params.yaml: 'table3.folds' is {asked}, but the folds of the data set '{dataset}' "
            f"are {shown}: name some of these, or write `all`."
        )
    folds = there if asked == "all" else asked
    if len(folds) < len(there):
        print(
            f"table3.folds names {len(folds)} of the {len(there)} folds of {dataset}; `all` takes "
            "all of them",
            flush=True,
        )
    return params.model_copy(
        update={"table3": params.table3.model_copy(update={"folds": list(folds)})}
    )


def target_alone(block: DataSet) -> str:
    """The name of the baseline's setup, the target and no other modality: "V" where all setups are
    called "<...>-V", else the name of the target."""
    ends = {name.rpartition("-")[2] if "-" in name else None for name in block.setups}
    (end,) = ends if len(ends) == 1 else (None,)
    name = end or block.target
    return f"{name}_alone" if name in block.setups else name


def plan(params: Params, dataset: str, fingerprint: Fingerprint) -> list[PlannedRun]:
    """Table 3: the baseline, and each setup of the data set x configurations, x folds x seeds; of
    parameters from `settle`.

    Nothing when the data set has no setups. Unbroken runs: no other shares their warm-ups.
    """
    table, block = params.table3, params.dataset(dataset)
    setups = block.setups
    places = [(target_alone(block), table.baseline, None)] if setups else []
    places += [(s, c, tuple(m)) for s, m in setups.items() for c in table.configurations]
    return [
        configured_run(
            params,
            dataset,
            configuration,
            seed,
            fingerprint,
            folder=f"{setup}/{configuration}/fold{fold}/seed{seed}",
            fold=fold,
            auxiliary=auxiliary,
            training=table.training,
            unbroken=True,
        )
        for setup, configuration, auxiliary in places
        for fold in table.folds
        for seed in table.seeds
    ]


def load(params: Params, runs: Path) -> Records:
    """Row: (setup, configuration), the baseline's first. Records by fold, then by seed.

    A data set without setups is left out.
    """
    table = params.table3
    found = {}
    for dataset in params.datasets:
        block = params.dataset(dataset)
        rows = [(setup, name) for setup in block.setups for name in table.configurations]
        if rows:
            alone = target_alone(block), table.baseline
            folds = _trained_folds(table, runs / "folds" / dataset / "/".join(alone))
            found[dataset] = {
                (setup, name): [
                    record
                    for fold in folds
                    for record in read_records(
                        runs / "folds" / dataset / setup / name / f"fold{fold}", table.seeds
                    )
                ]
                for setup, name in [alone, *rows]
            }
    return found


def _trained_folds(table: Block3, baseline: Path) -> list[int]:
    """The folds that the table shows; baseline: the folder of its runs. For "all" what the runs'
    stage left tells them: it replaces the folder as a whole, so nothing of an earlier choice lies
    there."""
    if table.folds != "all":
        return table.folds
    places = baseline.glob("fold*")
    return sorted(int(place.name.removeprefix("fold")) for place in places) or [0]


def table3(folds: pd.DataFrame) -> pd.DataFrame:
    """Cross-validation, one row a data set, setup and configuration, over the folds and seeds in
    `folds` (as from per_fold). The first setup of a data set is the baseline's.

    wa, ua, f1: WA, UA and macro F1 of the student. p_amid, p_baseline: paired t test of WA
    over (fold, seed) against AMID in the same setup and against the target modality alone,
    corrected within a setup.
    """
    rows, numbers = [], [*EMOTION, *(f"{name}_last" for name in EMOTION)]
    for dataset, of_dataset in folds.groupby("dataset", sort=False):
        groups = of_dataset.groupby(["setup", "configuration"], sort=False)
        accuracies = {place: list(runs["wa"]) for place, runs in groups}
        (alone, _), baseline = next(iter(accuracies.items()))
        for (setup, configuration), runs in groups:
            row = {"dataset": dataset, "setup": setup, "configuration": configuration}
            row |= {"folds": runs["fold"].nunique(), "seeds": runs["seed"].nunique()}
            for name in numbers:
                row[name], row[f"{name}_std"] = mean_std(list(runs[name]))
            mine, amid = accuracies[setup, configuration], accuracies.get((setup, REFERENCE))
            with_amid = amid is not None and configuration != REFERENCE
            row["p_amid"] = paired_t(mine, amid) if with_amid else None
            row["p_baseline"] = None if setup == alone else paired_t(mine, baseline)
            wa, ua = paper_numbers.TABLE3.get((setup, configuration), (None, None))
            rows.append({**row, "paper_wa": wa, "paper_ua": ua})
    spreads = [column for name in numbers for column in (name, f"{name}_std")]
    columns = ["dataset", "setup", "configuration", "folds", "seeds", *spreads]
    columns += ["p_amid", "p_baseline", "paper_wa", "paper_ua"]
    table = pd.DataFrame(rows, columns=columns)
    return with_holm(table, ["dataset", "setup"], "p_amid", "p_baseline")


def per_fold(records: Records) -> pd.DataFrame:
    """One row a run of the cross-validation: what Table 3 is made of."""
    rows = []
    for dataset, places in records.items():
        for (setup, configuration), runs in places.items():
            for run in runs:
                row = {"dataset": dataset, "setup": setup, "configuration": configuration}
                row |= {"fold": run.spec.fold, "seed": run.spec.seed}
                row |= {"run": run.key, "best_epoch": run.best_epoch + 1}
                last = {f"{name}_last": value for name, value in _emotion(run, "last").items()}
                rows.append({**row, **_emotion(run, "best"), **last})
    return pd.DataFrame(rows, columns=FOLD_COLUMNS)


def _emotion(run: RunRecord, at: str) -> dict[str, float]:
    import torch

    from amid.training.metrics import macro_f1, unweighted_accuracy, weighted_accuracy

    predicted, labels = torch.tensor(run.predictions[at]["student"]), torch.tensor(run.labels)
    functions = (weighted_accuracy, unweighted_accuracy, macro_f1)
    values = [100 * function(predicted, labels) for function in functions]
    return dict(zip(EMOTION, values, strict=True))


LAYOUT = Layout(
    "Table 3: cross-validation by group, by what the teacher sees",
    (
        Column("setup", "setup", "setup", text, left=True),
        configuration_column(BASELINE),
        Column("wa", "WA", "WA"),
        Column("ua", "UA", "UA"),
        Column("f1", "macro F1", "macro F1"),
        Column("p_amid_holm", "p (AMID)", "$p$ (AMID)", p_value),
        Column("p_baseline_holm", "p (baseline)", "$p$ (baseline)", p_value),
        Column(
            "paper_wa",
            "paper: WA",
            r"\multicolumn{2}{c}{paper: WA, UA}",
            number,
            of=paper_numbers.IEMOCAP,
        ),
        Column("paper_ua", "paper: UA", "", number, of=paper_numbers.IEMOCAP),
    ),
    "The student's WA (weighted accuracy: share of right clips), UA (unweighted accuracy: mean "
    "recall of the classes) and macro F1 (mean F1 of the classes) on the held-out fold, in per "
    "cent, mean ± sample standard deviation over all runs of a row (folds times seeds), "
    f"{SELECTED}; the last epoch stands in table3.csv, every run in table3_folds.csv. The student "
    "sees the target modality alone; the setup says what the teacher sees. p: two-sided paired t "
    "tests of WA over the pairs of fold and seed, against AMID in the same setup and against the "
    "baseline, each with Holm's correction within a setup. Folds share training clips, so the runs "
    "are not independent and these p are optimistic.",
    note_of="The paper's columns are its numbers on IEMOCAP, with other networks.",
    heading="{dataset}, {folds} folds, seeds a fold: {seeds}",
    empty="No data set in `datasets` has `setups` (in dataset/<name>.yaml): there is nothing to "
    "cross-validate.",
)


def layout(params: Params) -> Layout:
    """The table's layout, with the modalities that are behind the setups of each data set."""
    meanings = []
    for dataset in params.datasets:
        block = params.dataset(dataset)
        if block.setups:
            seen = {target_alone(block): [block.target, "no other modality"]}
            seen |= {setup: [block.target, *names] for setup, names in block.setups.items()}
            listed = "; ".join(f"{setup}: {' and '.join(names)}" for setup, names in seen.items())
            meanings.append(f"Setups of {dataset}: {listed}.")
    return replace(LAYOUT, note=" ".join([LAYOUT.note, *meanings]))


def _check(params: Params) -> None:
    block = params.table3
    if block.folds != "all":
        check_distinct("table3.folds", block.folds)
    check_distinct("table3.seeds", block.seeds)
    check_configurations(params, "table3.baseline", [block.baseline])
    check_configurations(params, "table3.configurations", block.configurations)
    check_protocol(params, block.training, "table3.training")


def _write(params: Params, runs: Path, reports: Path) -> list[Path]:
    folds = per_fold(load(params, runs))
    files = rendering.write(table3(folds), layout(params), reports, "table3")
    path = reports / "table3_folds.csv"
    return [*files, rendering.write_text(path, rendering.to_csv(folds))]


TABLE3 = Study(block=Block3, write=_write, check=_check, trains="folds", plan=plan, settle=settle)
