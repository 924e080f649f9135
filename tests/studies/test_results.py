"""Frames say what the records hold: means, deviations, tests, shares of the work."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from amid.errors import AmidError
from amid.studies import base, folds, paper_numbers, recognition, retrieval, selection, tune
from amid.studies.statistics import holm
from tests.recorded import CLIPS, recognised, record, runs
from tests.small import small_params


def test_means_and_sample_deviations_over_seeds() -> None:
    rows = recognition.table4(recognised()).set_index("configuration")
    assert rows.loc["amid", "student"] == pytest.approx(100 * np.mean([35, 37, 36]) / CLIPS)
    deviation = 100 * np.std([35, 37, 36], ddof=1) / CLIPS
    assert rows.loc["amid", "student_std"] == pytest.approx(deviation)
    assert pd.isna(rows.loc["student_alone", "teacher"])
    assert rows.loc["amid", "paper_student"] == 73.8


def test_paired_tests_are_scipys() -> None:
    rows = recognition.table4(recognised()).set_index("configuration")
    seeds = ttest_rel(np.array([30, 31, 33]) / CLIPS, np.array([35, 37, 36]) / CLIPS).pvalue
    assert rows.loc["student_alone", "p_seeds"] == pytest.approx(seeds)
    right = np.arange(CLIPS)[None] < np.array([[30], [31], [33]])
    other = np.arange(CLIPS)[None] < np.array([[35], [37], [36]])
    clips = ttest_rel(right.mean(0), other.mean(0)).pvalue
    assert rows.loc["student_alone", "p_clips"] == pytest.approx(clips)
    assert pd.isna(rows.loc["amid", "p_seeds"])
    assert pd.isna(rows.loc["teacher_alone", "p_seeds"])


def test_table_1_corrects_within_a_data_set() -> None:
    records = {**recognised(), "grid": recognised()["avlips"]}
    table = recognition.table1(records)
    for _, rows in table.groupby("dataset"):
        for name in ("p_seeds", "p_clips"):
            wanted = holm(list(rows[name]))
            assert rows[f"{name}_holm"].tolist() == pytest.approx(wanted, nan_ok=True)
    rows = table[table["dataset"] == "grid"].set_index("configuration")
    assert rows.loc["student_alone", "p_seeds_holm"] == 2 * rows["p_seeds"].min()
    assert rows.loc["amid", "paper_student"] == 73.8
    assert pd.isna(rows.loc["ccl", "paper_student"])


def test_one_seed_has_no_deviation_and_no_test_over_seeds() -> None:
    single = {"avlips": {name: found[:1] for name, found in recognised()["avlips"].items()}}
    for table in (recognition.table1(single), retrieval.table2(single), recognition.table4(single)):
        assert table.filter(like="_std").isna().all(axis=None)
        assert table["p_seeds"].isna().all()


def test_table_2_is_the_retrieval_of_the_records() -> None:
    def retrieving(*first: float) -> list:
        return [
            record(
                {"student": 30},
                seed,
                retrieval={
                    "best": {"r@1": r, "r@5": 0.8, "r@10": 0.9, "map": 0.4},
                    "last": {"r@1": 0.1, "r@5": 0.2, "r@10": 0.3, "map": 0.05},
                },
            )
            for seed, r in enumerate(first)
        ]

    amid, ccl = (0.72, 0.70, 0.74), (0.60, 0.61, 0.65)
    teacher = runs({"teacher": 40}, {"teacher": 41}, {"teacher": 42})
    records = {"ccl": retrieving(*ccl), "teacher_alone": teacher, "amid": retrieving(*amid)}
    rows = retrieval.table2({"avlips": records}).set_index("configuration")
    assert rows.loc["amid", "r@1"] == pytest.approx(72)
    assert rows.loc["amid", "r@1_std"] == pytest.approx(2)
    assert rows.loc["amid", "map"] == pytest.approx(40)
    assert rows.loc["amid", "r@10_last"] == pytest.approx(30)
    assert rows.loc["ccl", "p_seeds"] == pytest.approx(ttest_rel(ccl, amid).pvalue)
    assert rows.loc["ccl", "p_seeds_holm"] == rows.loc["ccl", "p_seeds"]  # the only test
    assert rows.loc["teacher_alone"].drop(["dataset", "seeds"]).isna().all()


def of_folds(*counts: int) -> list:
    labels = [n % 3 for n in range(40)] + [0] * 10
    return [record({"student": n}, fold=fold, labels=labels) for fold, n in enumerate(counts)]


def test_table_3_against_scikit_learn_and_scipy() -> None:
    counts = {
        ("V", "student_alone"): (20, 24, 21),
        ("A-V", "ccl"): (25, 27, 26),
        ("A-V", "gmc"): (23, 26, 22),
        ("A-V", "amid"): (28, 27, 30),
        ("L-V", "ccl"): (29, 27, 28),
        ("L-V", "amid"): (31, 27, 30),
    }
    per_fold = folds.per_fold({"avlips": {place: of_folds(*n) for place, n in counts.items()}})
    run = of_folds(25)[0]
    first = per_fold.set_index(["setup", "configuration", "fold"]).loc[("A-V", "ccl", 0)]
    predicted = run.predictions["best"]["student"]
    assert first["wa"] == pytest.approx(100 * accuracy_score(run.labels, predicted))
    assert first["ua"] == pytest.approx(100 * balanced_accuracy_score(run.labels, predicted))
    assert first["f1"] == pytest.approx(100 * f1_score(run.labels, predicted, average="macro"))

    table = folds.table3(per_fold).set_index(["setup", "configuration"])
    assert list(table.index) == list(counts)
    row = table.loc["A-V", "ccl"]
    accuracies = 100 * np.array(counts["A-V", "ccl"]) / CLIPS
    assert row["wa"] == pytest.approx(accuracies.mean())
    assert row["wa_std"] == pytest.approx(accuracies.std(ddof=1))
    assert (row["folds"], row["seeds"]) == (3, 1)
    amid = ttest_rel(counts["A-V", "ccl"], counts["A-V", "amid"]).pvalue
    baseline = ttest_rel(counts["A-V", "ccl"], counts["V", "student_alone"]).pvalue
    assert row["p_amid"] == pytest.approx(amid)
    assert row["p_baseline"] == pytest.approx(baseline)
    assert (row["paper_wa"], row["paper_ua"]) == (51.5, 51.4)
    for setup in ("A-V", "L-V"):
        for name in ("p_amid", "p_baseline"):
            rows = table.loc[setup]
            wanted = holm(list(rows[name]))
            assert list(rows[f"{name}_holm"]) == pytest.approx(wanted, nan_ok=True)
    assert pd.isna(table.loc[("A-V", "amid"), "p_amid"])
    assert table.loc[("A-V", "amid"), "p_baseline"] > 0
    assert table.loc[("V", "student_alone")].filter(like="p_").isna().all()


def test_a_cross_validation_of_one_run_has_no_tests() -> None:
    single = {("V", "student_alone"): of_folds(20), ("A-V", "amid"): of_folds(30)}
    table = folds.table3(folds.per_fold({"avlips": single}))
    assert table["wa_std"].isna().all()
    assert table.filter(like="p_").isna().all(axis=None)


def test_selection_counts_the_work_against_the_run_on_all_samples() -> None:
    whole = {"steps": 100, "samples": 800, "scored": 0}
    half = {"steps": 100, "samples": 400, "scored": 800}
    quick = {"steps": 100, "samples": 400, "scored": 0}
    records = {
        ("all", 1.0, 0.2): [record({"student": 36}, steps=whole)],
        ("dissect", 0.5, 0.2): [record({"student": 34}, steps=half)],
        ("random", 0.5, 0.2): [record({"student": 33}, steps=quick)],
    }
    rows = selection.selection({"avlips": records}).set_index("rule")
    assert rows.loc["all", ["steps", "samples", "scored", "compute"]].tolist() == [1, 1, 0, 1]
    assert rows.loc["dissect", ["steps", "samples", "scored"]].tolist() == [1, 0.5, 1]
    assert rows.loc["dissect", "compute"] == pytest.approx((3 * 400 + 800) / (3 * 800))
    assert rows.loc["random", "compute"] == 0.5
    assert rows["student"].tolist() == pytest.approx([72, 68, 66])
    del records["all", 1.0, 0.2]
    with pytest.raises(AmidError, match=r"'table_selection\.ratios' lacks 1\.0"):
        selection.selection({"avlips": records})


def test_the_search_chooses_by_the_mean_over_data_sets_the_earlier_of_equals() -> None:
    def validated(*values: float) -> list:
        history = [[{"validation_student": 0.1}, {"validation_student": v}] for v in values]
        return [record({"student": 30}, 100 + n, history=h) for n, h in enumerate(history)]

    trials = {"gmc": [{}, {"weight": 4.0}, {"weight": 0.25}], "amid": [{}, {"alpha": 1.0}, {}]}
    block = small_params().tune.model_copy(update={"trials": trials})
    means = {
        "avlips": {"gmc": (0.50, 0.60, 0.90), "amid": (0.50, 0.75, 0.25)},
        "grid": {"gmc": (0.60, 0.75, 0.40), "amid": (0.75, 0.50, 1.0)},
    }
    records = {
        dataset: {
            (name, n): validated(value - 0.01, value + 0.01)
            for name, values in of.items()
            for n, value in enumerate(values)
        }
        for dataset, of in means.items()
    }
    table = tune.tune(small_params(tune=block), records)
    first = table[(table["dataset"] == "avlips") & (table["configuration"] == "gmc")]
    assert first["validation"].tolist() == pytest.approx([50, 60, 90])
    assert first["validation_std"].tolist() == pytest.approx([np.sqrt(2)] * 3)
    assert first["mean_over_data_sets"].tolist() == pytest.approx([55, 67.5, 65])
    assert first["overrides"].tolist() == ["{}", '{"weight":4.0}', '{"weight":0.25}']
    assert first["chosen"].tolist() == [False, True, False]
    assert tune.tuned(table) == {"gmc": 1, "amid": 0}


def test_one_row_a_run() -> None:
    rows = recognition.per_seed(recognised())
    assert len(rows) == 12
    assert rows["seed"].tolist() == [0, 1, 2] * 4
    assert rows["student"].tolist()[:3] == pytest.approx([60, 62, 66])


def test_metrics_are_the_tables_numbers() -> None:
    table = recognition.table1(recognised())
    assert recognition.metrics(table)["avlips"]["amid"] == {"student": 72.0, "teacher": 88.0}
    wanted = {"student_alone": 62.67, "ccl": 68.67, "amid": 72.0}
    assert recognition.student_metrics(table) == {"avlips": wanted}


def test_the_papers_numbers_have_titles_and_agree() -> None:
    names = [
        *paper_numbers.TABLE1,
        *paper_numbers.TABLE4,
        *(name for _, name in paper_numbers.TABLE3),
    ]
    assert set(names) < set(base.TITLES)
    assert paper_numbers.TABLE4["amid"] == (73.8, 75.7)
    assert all(
        paper_numbers.TABLE4[name][0] == value for name, value in paper_numbers.TABLE1.items()
    )
