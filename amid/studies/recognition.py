"""Recognition with one modality: Table 1 (methods), Table 4 (terms) and Table 5 (parts of AMID)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from amid.config import Name, Params
from amid.core.reproducible import platform_fingerprint
from amid.core.types import RunRecord
from amid.studies import paper_numbers, rendering
from amid.studies.base import (
    BASELINE,
    REFERENCE,
    SELECTED,
    TITLES,
    Records,
    Study,
    check_rows,
    configuration_column,
    load_records,
    spreads,
    with_holm,
)
from amid.studies.remarks import advised, remarks, supported
from amid.studies.rendering import Column, Layout, number, p_value
from amid.studies.sections import OF_AMID, OF_METHODS, OF_PARTS
from amid.studies.statistics import Paired, paired_over_seeds_and_clips

READS = {"table1": OF_METHODS, "table4": OF_PARTS, "table5": OF_AMID}
Rows = Annotated[list[Name], Field(min_length=1)]


def table1(records: Records) -> pd.DataFrame:
    """Recognition, one row a data set and configuration: test Top-1 of student and teacher.

    p_seeds, p_clips: paired tests of the student against AMID, corrected within a data set.
    """
    table = with_holm(_recognition(records), ["dataset"], "p_seeds", "p_clips")
    table["paper_student"] = [paper_numbers.TABLE1.get(name) for name in table["configuration"]]
    return table


def table4(records: Records) -> pd.DataFrame:
    """Ablation, one row a data set and configuration: test Top-1 of student and teacher.

    p_seeds, p_clips: paired tests of the student against AMID, not corrected.
    """
    table = _recognition(records)
    numbers = [paper_numbers.TABLE4.get(name, (None, None)) for name in table["configuration"]]
    table["paper_student"] = [student for student, _ in numbers]
    table["paper_teacher"] = [teacher for _, teacher in numbers]
    return table


def table5(records: Records) -> pd.DataFrame:
    """What AMID's parts add, one row a data set and configuration: test Top-1 of student, teacher.

    p_seeds, p_clips: paired tests of the student against AMID, corrected within a data set.
    """
    table = with_holm(_recognition(records), ["dataset"], "p_seeds", "p_clips")
    table["paper_student"] = [paper_numbers.TABLE5.get(name) for name in table["configuration"]]
    return table


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


def _right(runs: Sequence[RunRecord], head: str) -> np.ndarray | None:
    """(seeds, clips), 1 where a run's head is right; None when it has no such head."""
    predicted = [run.predictions["best"].get(head) for run in runs]
    if any(p is None for p in predicted):
        return None
    return np.array(
        [np.equal(p, run.labels) for p, run in zip(predicted, runs, strict=True)], dtype=float
    )


LAYOUT1 = Layout(
    "Table 1: recognition with one modality",
    (
        configuration_column(BASELINE),
        Column("student", "student", "student"),
        Column("teacher", "teacher", "teacher"),
        Column("student_last", "student, last epoch"),
        Column("teacher_last", "teacher, last epoch"),
        Column("p_seeds_holm", "p (seeds)", "$p$ (seeds)", p_value),
        Column("p_clips_holm", "p (clips)", "$p$ (clips)", p_value),
        Column("paper_student", "paper: student", "paper, UCF51", number, of=paper_numbers.UCF51),
    ),
    f"Test Top-1 in per cent, mean ± sample standard deviation over seeds, {SELECTED}. teacher: "
    "the one that the student learns from, at the same epoch where they train together. p: "
    "two-sided paired t tests of the student against AMID, over seeds and over test clips (each "
    "clip averaged over seeds), with Holm's correction over the rows of a data set; the "
    "uncorrected ones stand in table1.csv.",
    note_of="The paper's column is its Top-1 on UCF51, with other networks: of its Table 1 we know "
    "only the two rows that its Table 4 repeats.",
)


LAYOUT4 = Layout(
    "Table 4: which terms carry the gain",
    (
        configuration_column(TITLES),
        Column("student", "student", "student"),
        Column("teacher", "teacher", "teacher"),
        Column("student_last", "student, last epoch"),
        Column("teacher_last", "teacher, last epoch"),
        Column("p_seeds", "p (seeds)", None, p_value),
        Column("p_clips", "p (clips)", None, p_value),
        Column(
            "paper_student",
            "paper: student",
            r"\multicolumn{2}{c}{paper, UCF51}",
            number,
            of=paper_numbers.UCF51,
        ),
        Column("paper_teacher", "paper: teacher", "", number, of=paper_numbers.UCF51),
    ),
    "Test Top-1 in per cent, mean ± sample standard deviation over seeds, student and teacher at "
    "the epoch where the student (for `teacher alone`: the teacher) is best on validation (under "
    "the protocol `strong`: at the last one); the test split takes no part in the choice. p: "
    "two-sided paired t tests of the student against AMID, over seeds and over test clips (each "
    "clip averaged over seeds), not corrected for the number of rows.",
    note_of="The paper's columns are its numbers on UCF51, with other networks.",
)


LAYOUT5 = Layout(
    "Table 5: what each part of AMID adds",
    (
        configuration_column(TITLES),
        Column("student", "student", "student"),
        Column("teacher", "teacher", "teacher"),
        Column("student_last", "student, last epoch"),
        Column("p_seeds_holm", "p (seeds)", "$p$ (seeds)", p_value),
        Column("p_clips_holm", "p (clips)", "$p$ (clips)", p_value),
        Column("paper_student", "paper: student", "paper, UCF51", number, of=paper_numbers.UCF51),
    ),
    f"Test Top-1 in per cent, mean ± sample standard deviation over seeds, {SELECTED}. fixed "
    "teacher: trained before and frozen. without warm-up: L_adv from the first epoch on. without "
    "D2: D1 alone, with weight 1. without dynamic weight: w1 = w2 = 1/2. p: two-sided paired t "
    "tests of the student against AMID, over seeds and over test clips (each clip averaged over "
    "seeds), with Holm's correction over the rows of a data set.",
    note_of="The paper's column is its Top-1 on UCF51, with other networks.",
)


def _write(
    name: str,
    table: Callable[[Records], pd.DataFrame],
    layout: Layout,
    params: Params,
    runs: Path,
    reports: Path,
) -> list[Path]:
    records = load_records(params, runs, getattr(params, name), READS[name])
    frame = table(records)
    seeds = reports / f"{name}_seeds.csv"
    told = []
    if name == "table1":
        probes = {dataset: _probed(runs, dataset) for dataset in records}
        told = [*supported(records), *remarks(records, probes), *advised(records, probes)]
        for line in told:
            print(line)
    files = rendering.write(frame, layout, reports, name, told)
    files.append(rendering.write_text(seeds, rendering.to_csv(per_seed(records))))
    if name == "table1":
        files.append(_write_json(reports / "table1.json", student_metrics(frame)))
    if name == "table4":
        files.append(_write_json(reports / "metrics.json", metrics(frame)))
        # No out of DVC's, as it names the machine: where it is the same, the bytes must be.
        platform = json.dumps({"platform": platform_fingerprint()}) + "\n"
        rendering.write_text(reports / "platform.json", platform)
    return files


def _probed(runs: Path, dataset: str) -> dict[str, Any]:
    """What the stage `auxiliary` found; nothing where a data set was made before it did."""
    path = runs / "probe" / dataset / "probe.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _write_json(path: Path, values: dict) -> Path:
    return rendering.write_text(path, json.dumps(values, indent=1, sort_keys=True) + "\n")


def _study(name: str, table: Callable[[Records], pd.DataFrame], layout: Layout) -> Study:
    return Study(
        block=Rows,
        write=partial(_write, name, table, layout),
        check=lambda params: check_rows(params, name, getattr(params, name)),
        rows=lambda params: getattr(params, name),
        sections=READS[name],
    )


TABLE1 = _study("table1", table1, LAYOUT1)
TABLE4 = _study("table4", table4, LAYOUT4)
TABLE5 = _study("table5", table5, LAYOUT5)
