"""Run records -> tables. Reads outs of the training stages, never MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from amid import paper
from amid.config import Params
from amid.errors import AmidError
from amid.types import RunRecord

TITLES = {
    "student_alone": "student alone",
    "teacher_alone": "teacher alone",
    "l_ft": "L_FT",
    "l_ft_l_fa": "L_FT + L_FA",
    "amid": "AMID (Eq. 17)",
    "amid_ccl": "AMID with CCL's contrastive loss (its temperature, 0.5)",
    "amid_ccl_tau01": "AMID with CCL's contrastive loss (our temperature, 0.1)",
}
REFERENCE = "amid"  # the configuration that the tests compare with


@dataclass(frozen=True)
class Paired:
    """Two-sided paired tests of a configuration against the reference, None where undefined.

    seeds: t test over the seeds' accuracies: would other seeds agree on these test clips?
    clips: t test over the test clips, each counted with its mean over the seeds: would other
        clips agree, with these seeds?
    """

    seeds: float | None
    clips: float | None


def load_records(
    params: Params, runs: Path, configurations: Sequence[str]
) -> dict[str, dict[str, list[RunRecord]]]:
    """{data set: {configuration: records in the order of the seeds}}, as params.yaml asks for.

    Enumerated from the parameters, never globbed: what an earlier choice left does not count.
    """
    section_of = {c: name for name, section in params.sections.items() for c in section}
    records: dict[str, dict[str, list[RunRecord]]] = {}
    for dataset in params.datasets:
        records[dataset] = {}
        for configuration in configurations:
            if configuration not in section_of:
                raise AmidError(
                    f"params.yaml: no entry of 'sections' trains the configuration "
                    f"'{configuration}' that a table asks for."
                )
            folder = runs / section_of[configuration] / dataset / configuration
            paths = [folder / f"seed{seed}" / "record.json" for seed in params.seeds]
            for path in paths:
                if not path.exists():
                    raise AmidError(f"{path} is missing: run `dvc repro`.")
            records[dataset][configuration] = [
                RunRecord.from_json(path.read_text(encoding="utf-8")) for path in paths
            ]
    return records


def per_seed(records: Mapping[str, Mapping[str, Sequence[RunRecord]]]) -> pd.DataFrame:
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


def paired_tests(runs: Sequence[RunRecord], reference: Sequence[RunRecord], head: str) -> Paired:
    """Tests of the difference in test Top-1 of `head` at the epochs chosen on validation."""
    from scipy.stats import ttest_rel

    right, other = _correct(runs, head), _correct(reference, head)  # (seeds, clips)
    if right is None or other is None:
        return Paired(None, None)

    def p(a: np.ndarray, b: np.ndarray) -> float | None:
        if len(a) < 2 or np.ptp(a - b) == 0:  # the t statistic needs a spread
            return None
        return float(ttest_rel(a, b).pvalue)

    return Paired(p(right.mean(1), other.mean(1)), p(right.mean(0), other.mean(0)))


def table4(records: Mapping[str, Mapping[str, Sequence[RunRecord]]]) -> pd.DataFrame:
    """One row a data set and configuration; accuracies in per cent of the test clips.

    student, teacher: mean over seeds at the epoch where the head that the run selects on (the
    student, where there is one) is best on validation; *_std: sample deviation over
    seeds; *_last: at the last epoch; p_*: paired tests of the student against AMID.
    """
    rows = []
    for dataset, configurations in records.items():
        for configuration, runs in configurations.items():
            row = {"dataset": dataset, "configuration": configuration, "seeds": len(runs)}
            for head in ("student", "teacher"):
                for at, suffix in (("best", ""), ("last", "_last")):
                    mean, std = mean_std([run.accuracy(head, at) for run in runs])
                    row |= {f"{head}{suffix}": mean, f"{head}{suffix}_std": std}
            tests = Paired(None, None)
            if configuration != REFERENCE and REFERENCE in configurations:
                tests = paired_tests(runs, configurations[REFERENCE], "student")
            row |= {"p_seeds": tests.seeds, "p_clips": tests.clips}
            student, teacher = paper.TABLE4.get(configuration, (None, None))
            rows.append({**row, "paper_student": student, "paper_teacher": teacher})
    return pd.DataFrame(rows)


def mean_std(accuracies: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and sample deviation in per cent; None without values, no deviation for one value."""
    values = [100 * a for a in accuracies if a is not None]
    if not values:
        return None, None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def metrics(table: pd.DataFrame) -> dict:
    """The table's student and teacher columns for `dvc metrics show` and `dvc exp show`."""
    found: dict = {}
    for row in table.to_dict("records"):
        place = found.setdefault(row["dataset"], {}).setdefault(row["configuration"], {})
        for head in ("student", "teacher"):
            if pd.notna(row[head]):
                place[head] = round(row[head], 2)
    return found


def gaps(records: Mapping[str, Mapping[str, Sequence[RunRecord]]]) -> pd.DataFrame:
    """Figure 4's data: test Top-1 of the teacher minus the student's, in points, of every epoch.

    Columns dataset, configuration, epoch (from 1), gap (mean over seeds), std (sample deviation).
    """
    rows = []
    for dataset, configurations in records.items():
        for configuration, runs in configurations.items():
            if "test_teacher" not in runs[0].history[-1] or runs[0].selected_on != "student":
                raise AmidError(
                    f"params.yaml: 'figure4' names '{configuration}', which does not train both a "
                    "teacher and a student: there is no gap to draw."
                )
            curves = 100 * np.array(
                [[e["test_teacher"] - e["test_student"] for e in run.history] for run in runs]
            )  # (seeds, epochs)
            spread = curves.std(0, ddof=1) if len(runs) > 1 else np.zeros(curves.shape[1])
            for epoch, (gap, std) in enumerate(zip(curves.mean(0), spread, strict=True), 1):
                rows.append((dataset, configuration, epoch, gap, std))
    return pd.DataFrame(rows, columns=["dataset", "configuration", "epoch", "gap", "std"])


def warmup_epochs(records: Mapping[str, Mapping[str, Sequence[RunRecord]]]) -> dict[str, int]:
    """Data set -> epochs of the warm-up, for those with a run that has an adversarial phase."""
    found: dict[str, int] = {}
    for dataset, configurations in records.items():
        for runs in configurations.values():
            if "warmup_epochs" in runs[0].spec.options:
                found[dataset] = runs[0].spec.options["warmup_epochs"]
    return found


def wide(gaps: pd.DataFrame) -> pd.DataFrame:
    """The gaps of one data set, a row an epoch: epoch, <configuration>, <configuration>_std ..."""
    curves = {}
    for configuration, curve in gaps.groupby("configuration", sort=False):
        curves[configuration] = curve.set_index("epoch")["gap"]
        curves[f"{configuration}_std"] = curve.set_index("epoch")["std"]
    return pd.DataFrame(curves).reset_index()


def to_csv(table: pd.DataFrame) -> str:
    """CSV with four decimals: enough to compute with, the same on every machine."""
    return table.to_csv(index=False, float_format="%.4f", lineterminator="\n")


def table4_markdown(table: pd.DataFrame) -> str:
    """Table 4 for reading, with what the numbers are in a sentence below."""
    lines = ["# Table 4: which terms carry the gain", ""]
    for dataset, rows in table.groupby("dataset", sort=False):
        lines += [f"## {dataset}, {rows['seeds'].iloc[0]} seeds", "", _HEAD, _RULE]
        lines += [_markdown_row(row) for row in rows.to_dict("records")]
        lines.append("")
    return "\n".join([*lines, _NOTE, ""])


def table4_latex(table: pd.DataFrame) -> str:
    """Table 4 as a LaTeX tabular (needs no package)."""
    lines = [r"\begin{tabular}{llrrrr}", r"\hline"]
    lines.append(r"data & configuration & student & teacher & \multicolumn{2}{c}{paper, UCF51} \\")
    for _, rows in table.groupby("dataset", sort=False):
        lines.append(r"\hline")
        for row in rows.to_dict("records"):
            cells = [row["dataset"], TITLES.get(row["configuration"], row["configuration"])]
            cells += [_mean_std(row, head, r"$\pm$") for head in ("student", "teacher")]
            cells += [_number(row["paper_student"]), _number(row["paper_teacher"])]
            lines.append(" & ".join(cell.replace("_", r"\_") for cell in cells) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


_HEAD = (
    "| configuration | student | teacher | student, last epoch | teacher, last epoch "
    "| p (seeds) | p (clips) | paper: student | paper: teacher |"
)
_RULE = "|---|" + "---:|" * 8
_NOTE = (
    "Test Top-1 in per cent, mean ± sample standard deviation over seeds, student and teacher at "
    "the epoch where the student (for `teacher alone`: the teacher) is best on validation; the "
    "test split takes no part in the choice. p: two-sided paired t "
    "tests of the student against AMID, over seeds and over test clips (each clip averaged over "
    "seeds), not corrected for the number of rows. The paper's columns are its numbers on UCF51: "
    "other data, other networks, shown for the order of the rows."
)


def _markdown_row(row: dict) -> str:
    title = TITLES.get(row["configuration"], row["configuration"])
    cells = [f"**{title}**" if row["configuration"] == REFERENCE else title]
    cells += [
        _mean_std(row, head) for head in ("student", "teacher", "student_last", "teacher_last")
    ]
    cells += [_p(row["p_seeds"]), _p(row["p_clips"])]
    cells += [_number(row["paper_student"]), _number(row["paper_teacher"])]
    return "| " + " | ".join(cells) + " |"


def _mean_std(row: dict, name: str, sign: str = "±") -> str:
    mean, std = row[name], row[f"{name}_std"]
    if pd.isna(mean):
        return "-"
    return f"{mean:.1f}" if pd.isna(std) else f"{mean:.1f} {sign} {std:.1f}"


def _number(value: float | None) -> str:
    return "-" if pd.isna(value) else f"{value:.1f}"


def _p(value: float | None) -> str:
    if pd.isna(value):
        return "-"
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def _correct(runs: Sequence[RunRecord], head: str) -> np.ndarray | None:
    predicted = [run.predictions["best"].get(head) for run in runs]
    if any(p is None for p in predicted):
        return None
    return np.array(
        [np.equal(p, run.labels) for p, run in zip(predicted, runs, strict=True)], dtype=float
    )
