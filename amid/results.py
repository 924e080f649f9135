"""Run records -> the frames that tables show. Accuracies and shares are in per cent.

Of every number x: x is the mean over the runs of a row at the epoch where the head that a run
selects on (the student, where there is one) is best on validation; x_std its sample deviation;
x_last, x_last_std the same at the last epoch; p_x_holm is p_x after Holm's correction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from amid import paper
from amid.records import TARGET_ALONE, FoldRecords, Records, SensitivityRecords
from amid.statistics import Paired, holm, mean_std, paired_over_seeds_and_clips, paired_t
from amid.types import RunRecord

TITLES = {
    "student_alone": "student alone",
    "teacher_alone": "teacher alone",
    "l_ft": "L_FT",
    "l_ft_l_fa": "L_FT + L_FA",
    "crd": "CRD",
    "gmc": "GMC",
    "ccl": "CCL",
    "crcd": "CRCD",
    "amid": "AMID (Eq. 17)",
    "amid_tuned": "AMID, weights from the search",
    "amid_ccl": "AMID with CCL's contrastive loss (its temperature, 0.5)",
    "amid_ccl_tau01": "AMID with CCL's contrastive loss (our temperature, 0.1)",
    "fixed_teacher": "fixed teacher",
    "without_warmup": "without warm-up",
    "without_d2": "without D2",
    "without_dynamic": "without dynamic weight",
}
REFERENCE = "amid"  # the configuration that the tests compare with
RETRIEVAL = ("r@1", "r@5", "r@10", "map")
EMOTION = ("wa", "ua", "f1")
FOLD_COLUMNS = [
    *("dataset", "setup", "configuration", "fold", "seed", "run", "best_epoch"),
    *EMOTION,
    *(f"{name}_last" for name in EMOTION),
]


def table1(records: Records) -> pd.DataFrame:
    """Recognition, one row a data set and configuration: test Top-1 of student and teacher.

    p_seeds, p_clips: paired tests of the student against AMID, corrected within a data set.
    """
    table = with_holm(_recognition(records), ["dataset"], "p_seeds", "p_clips")
    table["paper_student"] = [paper.TABLE1.get(name) for name in table["configuration"]]
    return table


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


def table3(folds: pd.DataFrame) -> pd.DataFrame:
    """Cross-validation, one row a data set, setup and configuration, over the folds and seeds in
    `folds` (as from per_fold).

    wa, ua, f1: WA, UA and macro F1 of the student. p_amid, p_baseline: paired t test of WA
    over (fold, seed) against AMID in the same setup and against the target modality alone,
    corrected within a setup.
    """
    rows, numbers = [], [*EMOTION, *(f"{name}_last" for name in EMOTION)]
    for dataset, of_dataset in folds.groupby("dataset", sort=False):
        groups = of_dataset.groupby(["setup", "configuration"], sort=False)
        accuracies = {place: list(runs["wa"]) for place, runs in groups}
        baseline = next((w for (s, _), w in accuracies.items() if s == TARGET_ALONE), None)
        for (setup, configuration), runs in groups:
            row = {"dataset": dataset, "setup": setup, "configuration": configuration}
            row |= {"folds": runs["fold"].nunique(), "seeds": runs["seed"].nunique()}
            for name in numbers:
                row[name], row[f"{name}_std"] = mean_std(list(runs[name]))
            mine, amid = accuracies[setup, configuration], accuracies.get((setup, REFERENCE))
            with_amid = amid is not None and configuration != REFERENCE
            row["p_amid"] = paired_t(mine, amid) if with_amid else None
            with_baseline = baseline is not None and setup != TARGET_ALONE
            row["p_baseline"] = paired_t(mine, baseline) if with_baseline else None
            wa, ua = paper.TABLE3.get((setup, configuration), (None, None))
            rows.append({**row, "paper_wa": wa, "paper_ua": ua})
    spreads = [column for name in numbers for column in (name, f"{name}_std")]
    columns = ["dataset", "setup", "configuration", "folds", "seeds", *spreads]
    columns += ["p_amid", "p_baseline", "paper_wa", "paper_ua"]
    table = pd.DataFrame(rows, columns=columns)
    return with_holm(table, ["dataset", "setup"], "p_amid", "p_baseline")


def table4(records: Records) -> pd.DataFrame:
    """Ablation, one row a data set and configuration: test Top-1 of student and teacher.

    p_seeds, p_clips: paired tests of the student against AMID, not corrected.
    """
    table = _recognition(records)
    numbers = [paper.TABLE4.get(name, (None, None)) for name in table["configuration"]]
    table["paper_student"] = [student for student, _ in numbers]
    table["paper_teacher"] = [teacher for _, teacher in numbers]
    return table


def table5(records: Records) -> pd.DataFrame:
    """What AMID's parts add, one row a data set and configuration: test Top-1 of student, teacher.

    p_seeds, p_clips: paired tests of the student against AMID, corrected within a data set.
    """
    table = with_holm(_recognition(records), ["dataset"], "p_seeds", "p_clips")
    table["paper_student"] = [paper.TABLE5.get(name) for name in table["configuration"]]
    return table


def table6(records: SensitivityRecords, defaults: dict[str, float]) -> pd.DataFrame:
    """Sensitivity, one row a data set, weight and value: test Top-1 of student and teacher.

    defaults: weight -> its value in params.yaml; default: whether a row has it.
    """
    rows = []
    for dataset, places in records.items():
        for (weight, value), runs in places.items():
            row = {"dataset": dataset, "weight": weight, "value": value, "seeds": len(runs)}
            row["default"] = value == defaults[weight]
            for head in ("student", "teacher"):
                row |= spreads(runs, head, lambda run, at, head=head: run.accuracy(head, at))
            rows.append({**row, "paper_student": paper.TABLE6.get((weight, value))})
    return pd.DataFrame(rows)


def per_seed(records: Records) -> pd.DataFrame:
    """One row a run: what the means of a table are made of, with the run's name in MLflow."""
    rows = []
    for dataset, configurations in records.items():
        for configuration, runs in configurations.items():
            for run in runs:
                row = {"dataset": dataset, "configuration": configuration, "seed": run.spec.seed}
                row |= {"run": run.key, "best_epoch": run.best_epoch + 1}
                for head in ("student", "teacher"):
                    accuracy = run.accuracy(head)
                    row[head] = None if accuracy is None else 100 * accuracy
                rows.append(row)
    return pd.DataFrame(rows)


def per_fold(records: FoldRecords) -> pd.DataFrame:
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


def metrics(table: pd.DataFrame) -> dict:
    """The table's student and teacher columns for `dvc metrics show` and `dvc exp show`."""
    found: dict = {}
    for row in table.to_dict("records"):
        place = found.setdefault(row["dataset"], {}).setdefault(row["configuration"], {})
        for head in ("student", "teacher"):
            if pd.notna(row[head]):
                place[head] = round(row[head], 2)
    return found


def student_metrics(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """{data set: {configuration: student}} of a table, for `dvc metrics show`."""
    return {
        dataset: {name: row["student"] for name, row in rows.items() if "student" in row}
        for dataset, rows in metrics(table).items()
    }


def paired_tests(runs: Sequence[RunRecord], reference: Sequence[RunRecord], head: str) -> Paired:
    """Tests of the difference in test Top-1 of `head` at the epochs chosen on validation."""
    return paired_over_seeds_and_clips(_right(runs, head), _right(reference, head))


def _recognition(records: Records) -> pd.DataFrame:
    rows = []
    for dataset, configurations in records.items():
        for configuration, runs in configurations.items():
            row = {"dataset": dataset, "configuration": configuration, "seeds": len(runs)}
            for head in ("student", "teacher"):
                row |= spreads(runs, head, lambda run, at, head=head: run.accuracy(head, at))
            tests = Paired(None, None)
            if configuration != REFERENCE and REFERENCE in configurations:
                tests = paired_tests(runs, configurations[REFERENCE], "student")
            rows.append({**row, "p_seeds": tests.seeds, "p_clips": tests.clips})
    return pd.DataFrame(rows)


def spreads(
    runs: Sequence[RunRecord], name: str, share: Callable[[RunRecord, str], float | None]
) -> dict[str, float | None]:
    """Columns <name>, <name>_std, <name>_last, <name>_last_std of share(run, "best" | "last")."""
    found: dict[str, float | None] = {}
    for at, suffix in (("best", ""), ("last", "_last")):
        shares = [share(run, at) for run in runs]
        mean, std = mean_std([None if value is None else 100 * value for value in shares])
        found |= {f"{name}{suffix}": mean, f"{name}{suffix}_std": std}
    return found


def _retrieved(run: RunRecord, name: str, at: str) -> float | None:
    return run.retrieval.get(at, {}).get(name)


def _emotion(run: RunRecord, at: str) -> dict[str, float]:
    import torch

    from amid.metrics import macro_f1, unweighted_accuracy, weighted_accuracy

    predicted, labels = torch.tensor(run.predictions[at]["student"]), torch.tensor(run.labels)
    functions = (weighted_accuracy, unweighted_accuracy, macro_f1)
    values = [100 * function(predicted, labels) for function in functions]
    return dict(zip(EMOTION, values, strict=True))


def _right(runs: Sequence[RunRecord], head: str) -> np.ndarray | None:
    """(seeds, clips), 1 where a run's head is right; None when it has no such head."""
    predicted = [run.predictions["best"].get(head) for run in runs]
    if any(p is None for p in predicted):
        return None
    return np.array(
        [np.equal(p, run.labels) for p, run in zip(predicted, runs, strict=True)], dtype=float
    )


def with_holm(table: pd.DataFrame, by: Sequence[str], *names: str) -> pd.DataFrame:
    """The table with p_x_holm beside each p_x in `names`, corrected within groups of `by`."""
    corrected = table.copy()
    for name in names:
        groups = table.groupby(list(by), sort=False)[name]
        values = groups.transform(lambda p: pd.Series(holm(list(p)), p.index, dtype=float))
        corrected.insert(corrected.columns.get_loc(name) + 1, f"{name}_holm", values)
    return corrected
