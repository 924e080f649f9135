"""Tables say what the records hold: means, deviations, tests, nothing of the runs left on disk."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from amid import figures, paper, results
from amid.errors import AmidError
from amid.types import RunRecord, RunSpec
from tests.small import small_params

CLIPS = 50


def record(right: dict[str, int], seed: int = 0, dataset: str = "avlips") -> RunRecord:
    """A run whose heads classify the first `right[head]` of 50 test clips rightly."""
    spec = RunSpec(dataset, "amid", {}, "video", (), {}, {}, seed, None, "train", "x", "y")
    predicted = {head: [int(n >= k) for n in range(CLIPS)] for head, k in right.items()}
    history = [{"test_student": 0.5, "test_teacher": 0.5 + 0.1 * seed}, {"test_student": 0.6}]
    history[1]["test_teacher"] = 0.8 + 0.1 * seed
    return RunRecord(
        spec=spec,
        history=history,
        best_epoch=1,
        selected_on="student",
        predictions={"best": predicted, "last": predicted},
        clips=[f"clip{n}" for n in range(CLIPS)],
        labels=[0] * CLIPS,
        classes=["a", "b"],
    )


@pytest.fixture
def records() -> dict:
    def runs(*counts: dict[str, int]) -> list[RunRecord]:
        return [record(right, seed) for seed, right in enumerate(counts)]

    return {
        "avlips": {
            "student_alone": runs({"student": 30}, {"student": 31}, {"student": 33}),
            "teacher_alone": runs({"teacher": 40}, {"teacher": 41}, {"teacher": 42}),
            "amid": runs(
                {"student": 35, "teacher": 44},
                {"student": 37, "teacher": 45},
                {"student": 36, "teacher": 43},
            ),
        }
    }


def test_means_and_sample_deviations_over_seeds(records) -> None:
    rows = results.table4(records).set_index("configuration")
    assert rows.loc["amid", "student"] == pytest.approx(100 * np.mean([35, 37, 36]) / CLIPS)
    deviation = 100 * np.std([35, 37, 36], ddof=1) / CLIPS
    assert rows.loc["amid", "student_std"] == pytest.approx(deviation)
    assert pd.isna(rows.loc["student_alone", "teacher"])
    assert rows.loc["amid", "paper_student"] == 73.8


def test_paired_tests_are_scipys(records) -> None:
    rows = results.table4(records).set_index("configuration")
    seeds = ttest_rel(np.array([30, 31, 33]) / CLIPS, np.array([35, 37, 36]) / CLIPS).pvalue
    assert rows.loc["student_alone", "p_seeds"] == pytest.approx(seeds)
    right = np.arange(CLIPS)[None] < np.array([[30], [31], [33]])
    other = np.arange(CLIPS)[None] < np.array([[35], [37], [36]])
    clips = ttest_rel(right.mean(0), other.mean(0)).pvalue
    assert rows.loc["student_alone", "p_clips"] == pytest.approx(clips)
    assert pd.isna(rows.loc["amid", "p_seeds"])
    assert pd.isna(rows.loc["teacher_alone", "p_seeds"])


def test_one_seed_has_no_deviation_and_no_test_over_seeds(records) -> None:
    single = {"avlips": {name: runs[:1] for name, runs in records["avlips"].items()}}
    table = results.table4(single)
    assert table["student_std"].isna().all()
    assert table["p_seeds"].isna().all()
    assert "70.0 |" in results.table4_markdown(table)


def test_markdown_latex_and_csv_hold_the_same_numbers(records) -> None:
    table = results.table4(records)
    text = results.table4_markdown(table)
    assert "| **AMID (Eq. 17)** | 72.0 ± 2.0 | 88.0 ± 2.0 |" in text
    latex = results.table4_latex(table)
    assert r"avlips & AMID (Eq. 17) & 72.0 $\pm$ 2.0 & 88.0 $\pm$ 2.0 & 73.8 & 75.7 \\" in latex
    assert r"L\_FT" not in latex
    read = pd.read_csv(io.StringIO(results.to_csv(table)))
    assert read["student"].dropna().tolist() == pytest.approx(
        table["student"].dropna().tolist(), abs=1e-4
    )
    assert results.metrics(table)["avlips"]["amid"] == {"student": 72.0, "teacher": 88.0}


def test_the_gap_is_teacher_minus_student_in_points(records) -> None:
    gaps = results.gaps({"avlips": {"amid": records["avlips"]["amid"]}})
    assert gaps["epoch"].tolist() == [1, 2]
    assert gaps["gap"].tolist() == pytest.approx([10.0, 30.0])
    assert gaps["std"].tolist() == pytest.approx([10.0, 10.0])
    table = results.wide(gaps)
    assert table.columns.tolist() == ["epoch", "amid", "amid_std"]
    assert table["amid"].tolist() == gaps["gap"].tolist()


def test_the_figure_is_a_picture_whose_bytes_depend_on_the_data_alone(records, tmp_path) -> None:
    gaps = results.gaps({"avlips": {"amid": records["avlips"]["amid"]}})
    for name in ("a", "b"):
        figures.figure4(gaps, {"avlips": 1}, tmp_path / f"{name}.png")
    first = (tmp_path / "a.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert first == (tmp_path / "b.png").read_bytes()


def test_records_are_enumerated_from_the_parameters(records, tmp_path: Path) -> None:
    params = small_params(seeds=[0, 1], datasets=["avlips"])
    for seed in (0, 1, 7):  # seed 7 is what an earlier choice left
        folder = tmp_path / "amid" / "avlips" / "amid" / f"seed{seed}"
        folder.mkdir(parents=True)
        text = record({"student": 30 + seed}, seed).to_json()
        (folder / "record.json").write_text(text)
    found = results.load_records(params, tmp_path, ["amid"])
    assert [run.spec.seed for run in found["avlips"]["amid"]] == [0, 1]


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(AmidError, match=r"amid/seed0/record\.json is missing"):
        results.load_records(small_params(), tmp_path, ["amid"])


def test_a_configuration_that_no_section_trains_is_named(tmp_path: Path) -> None:
    params = small_params(sections={"amid": ["amid"]})
    with pytest.raises(AmidError, match="'l_ft'"):
        results.load_records(params, tmp_path, ["l_ft"])


def test_the_papers_table_is_its_own() -> None:
    assert paper.TABLE4["amid"] == (73.8, 75.7)
    assert set(paper.TABLE4) < set(results.TITLES)  # the row at our temperature is ours alone
