"""Table 7 and Figure 7 say what the records hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from amid.errors import AmidError
from amid.studies import contrastive
from amid.studies.contrastive import LAYOUT, curves, kept_wrong, passes, reached
from amid.studies.rendering import markdown
from tests.pairs import pair_params
from tests.recorded import put, record

ROWS = [("all", 1.0, 0.4), ("random", 0.5, 0.4), ("clipscore", 0.5, 0.4)]


def run(rule: str, seed: int, first: float):
    """Three epochs of 100 pairs, of which 40 are wrong: `all` trains on 100, rules on 50."""
    trained = 100 if rule == "all" else 50
    scored = 100 if rule == "clipscore" else 0
    wrong = {"all": 0.4, "random": 0.4 + 0.01 * seed, "clipscore": 0.1 - 0.02 * seed}.get(rule, 0.2)
    history = []
    for epoch in range(3):
        metrics = {
            "samples": float(trained * (epoch + 1)),
            "scored": float(scored * (epoch + 1)),
            "kept_wrong": 0.4 if epoch == 0 else wrong,
            "validation_retrieval": [first / 2, first, first - 0.05][epoch],
            "validation_r5": 0.8,
        }
        if rule != "all":
            metrics |= {"found_precision": 0.6, "found_recall": 0.75}
        history.append(metrics)
    test = {"r@1": first, "r@5": first + 0.2, "r@10": 0.9, "median_rank": 2.0 + seed}
    return record(
        {},
        seed,
        history=history,
        retrieval={"best": test, "last": {**test, "r@1": first - 0.1}},
    )


RECALLS = {"all": (0.3, 0.32, 0.31), "random": (0.2, 0.25, 0.24), "clipscore": (0.35, 0.3, 0.4)}


def records(dataset: str = "avsentences", seeds: int = 3) -> dict:
    return {
        dataset: {
            row: [run(row[0], seed, first) for seed, first in enumerate(RECALLS[row[0]][:seeds])]
            for row in ROWS
        }
    }


def test_numbers_of_the_table() -> None:
    rows = contrastive.contrastive(records()).set_index("rule")
    assert rows.loc["clipscore", "r1"] == pytest.approx(35.0)
    assert rows.loc["clipscore", "r1_std"] == pytest.approx(5.0)
    assert rows.loc["clipscore", "r1_last"] == pytest.approx(25.0)
    assert rows.loc["clipscore", "difference"] == pytest.approx(35 - 31)
    assert rows.loc["all", "median_rank"] == pytest.approx(3.0)
    want = ttest_rel(RECALLS["random"], RECALLS["all"]).pvalue
    assert rows.loc["random", "p"] == pytest.approx(want)
    assert pd.isna(rows.loc["all", "p"])
    own = ttest_rel(RECALLS["clipscore"], RECALLS["all"]).pvalue
    assert rows.loc["clipscore", "p_holm"] == pytest.approx(max(own, min(1, 2 * want)))
    # over 3 epochs of 50 pairs each, the first at 40 %
    assert rows.loc["clipscore", "kept_wrong"] == pytest.approx(100 * (0.4 + 2 * 0.08) / 3)
    assert rows.loc["clipscore", "recall"] == 75
    assert pd.isna(rows.loc["all", "recall"])
    assert rows.loc["random", "compute"] == pytest.approx(0.5)
    assert rows.loc["clipscore", "compute"] == pytest.approx((3 * 50 + 100) / 300)


def test_without_a_test_split_the_table_is_of_validation_at_the_last_epoch() -> None:
    found = records()
    for runs in found["avsentences"].values():
        for one in runs:
            one.retrieval.update(best={}, last={})
            for metrics in one.history:
                recall = metrics["validation_retrieval"]
                metrics |= {"validation_r1": recall, "validation_r5": recall + 0.1}
                metrics |= {"validation_r10": 0.9, "validation_median_rank": 4.0}
    rows = contrastive.contrastive(found).set_index("rule")
    # 0.05 below the best epoch, which is the second of three
    assert rows.loc["all", "r1"] == pytest.approx(31 - 5)
    assert rows.loc["all", "r1_last"] == pytest.approx(31 - 5)
    assert rows.loc["clipscore", "r5"] == pytest.approx(35 - 5 + 10)
    assert rows.loc["clipscore", "difference"] == pytest.approx(35 - 31)
    assert rows.loc["random", "median_rank"] == 4


def test_nothing_to_be_judged_by_is_one_sentence() -> None:
    found = records()
    for one in found["avsentences"]["all", 1.0, 0.4]:
        one.retrieval.update(best={}, last={})
    with pytest.raises(AmidError, match="neither 'validation' nor 'test' has a pair"):
        contrastive.contrastive(found)


def test_compute_to_the_level_of_all_is_over_the_seeds_that_reach_it() -> None:
    rows = contrastive.contrastive(records()).set_index("rule")
    assert rows.loc["all", "to_level"] == 1.0
    assert rows.loc["random", "reached"] == 0
    assert pd.isna(rows.loc["random", "to_level"])
    # Seeds 0 and 2 do, both in the second epoch, as `all`.
    assert rows.loc["clipscore", "reached"] == pytest.approx(2 / 3)
    assert rows.loc["clipscore", "to_level"] == pytest.approx(250 / 300)


def test_passes_and_levels() -> None:
    one = run("clipscore", 0, 0.4)
    assert passes(one.history[0]) == 3 * 50 + 100
    assert reached(one, 0.2) == 250
    assert reached(one, 0.4) == 500
    assert reached(one, 0.41) is None
    assert kept_wrong(run("random", 1, 0.2)) == pytest.approx((0.4 + 0.41 + 0.41) / 3)


def test_curves_are_of_one_ratio_and_of_all() -> None:
    found = records()
    places = found["avsentences"]
    places["clipscore", 0.25, 0.4] = places["clipscore", 0.5, 0.4]
    table = curves(found, 0.5)
    assert len(table) == 3 * 3
    last = table[(table["rule"] == "clipscore") & (table["epoch"] == 3)].iloc[0]
    assert last["compute"] == pytest.approx(250 / 300)
    assert last["r1"] == pytest.approx(100 * (np.mean(RECALLS["clipscore"]) - 0.05))
    assert last["r5"] == 80


def test_everything_is_written_and_read_by_rule_ratio_and_share(tmp_path: Path) -> None:
    params = pair_params()
    block = params.table7.model_copy(
        update={
            "rules": {name: params.table7.rules[name] for name in ("random", "clipscore")},
            "ratios": [0.5],
            "mismatch_ratios": [0.4],
            "seeds": [0, 1, 2],
        }
    )
    for (rule, ratio, mismatched), runs in records()["avsentences"].items():
        name = contrastive.folder_name(rule, ratio, mismatched)
        for one in runs:
            place = tmp_path / "contrastive" / "avsentences" / name / f"seed{one.spec.seed}"
            put(one, place)
    study, chosen = contrastive.TABLE7, params.model_copy(update={"table7": block})
    study.check(chosen)
    files = study.write(chosen, tmp_path, tmp_path / "reports")
    assert sorted(path.name for path in files) == [
        "figure7.csv",
        "figure7.png",
        "table7.csv",
        "table7.md",
        "table7.tex",
        "table7_probes.csv",
        "table7_probes.md",
        "table7_probes.tex",
    ]
    assert all(path.stat().st_size for path in files)
    written = pd.read_csv(tmp_path / "reports" / "table7.csv")
    assert list(written["rule"]) == ["all", "random", "clipscore"]
    without_labels = (tmp_path / "reports" / "table7_probes.md").read_text()
    assert "No data set of the table has labels" in without_labels


def test_the_small_version_has_the_projects_seeds_and_files_of_its_own(tmp_path: Path) -> None:
    params = pair_params().model_copy(update={"seeds": [0, 1, 2]})
    rules = {name: params.table7_small.rules[name] for name in ("random", "clipscore")}
    block = params.table7_small.model_copy(update={"rules": rules})
    params = params.model_copy(update={"table7_small": block})
    assert params.table7_small.seeds is None
    assert contrastive.block_of(params, "table7_small").seeds == [0, 1, 2]
    planned = contrastive.TABLE7_SMALL.plan(params, "avsentences_small", lambda *_: "")
    found = records("avsentences_small")["avsentences_small"]
    places = {
        f"{contrastive.folder_name(*row)}/seed{one.spec.seed}": one
        for row, runs in found.items()
        for one in runs
    }
    assert {run.folder for run in planned} == set(places)
    for name, one in places.items():
        put(one, tmp_path / "contrastive_small" / "avsentences_small" / name)
    files = contrastive.TABLE7_SMALL.write(params, tmp_path, tmp_path / "reports")
    ends = ("csv", "md", "tex")
    assert sorted(path.name for path in files) == [
        *("figure7_small.csv", "figure7_small.png"),
        *(f"table7_small.{end}" for end in ends),
        *(f"table7_small_probes.{end}" for end in ends),
    ]
    written = pd.read_csv(tmp_path / "reports" / "table7_small.csv")
    assert list(written["seeds"]) == [3, 3, 3]


def test_the_layout_shows_every_row() -> None:
    text = markdown(contrastive.contrastive(records()), LAYOUT)
    assert "## avsentences, 3 seeds" in text
    assert "| 0.40 | 0.50 | clipscore | 35.0 ± 5.0 |" in text


def test_the_plan_shares_nothing_but_the_data_between_rules() -> None:
    params = pair_params()
    runs = contrastive.plan(params, "avsentences", lambda target, auxiliary: target)
    block = params.table7
    rows = len(block.mismatch_ratios) * (1 + len(block.rules) * len(block.ratios))
    assert len(runs) == 2 * rows  # seeds
    assert len({run.spec.key for run in runs}) == len({run.folder for run in runs}) == len(runs)
    halves = [run for run in runs if (run.spec.selection or {"ratio": 0.5})["ratio"] == 0.5]
    rules = {run.configuration: run.spec.selection for run in halves}
    assert rules["all"] is None
    assert rules["random"] == {"name": "random", "ratio": 0.5}
    assert rules["dissect_warmup"] == {"name": "dissect_warmup", "ratio": 0.5, "warmup_epochs": 10}
    assert {run.spec.method for run in runs} == {"clip"}
    assert {(run.spec.target, run.spec.auxiliary) for run in runs} == {("audio", ("text",))}


def test_probes_are_of_each_encoder_over_the_seeds() -> None:
    def probed(right: dict[str, int], seed: int):
        return record(right, seed, labels=[0] * 30 + [1] * 20)

    heads = "audio_linear", "audio_knn", "text_linear", "text_knn"
    numbers = [(10, 20, 30, 40), (20, 20, 30, 50), (30, 20, 30, 45)]
    runs = [probed(dict(zip(heads, n, strict=True)), seed) for seed, n in enumerate(numbers)]
    table = contrastive.probes({"avsentences": {("all", 1.0, 0.4): runs}}).set_index("modality")
    assert list(table.index) == ["audio", "text"]
    assert table.loc["audio", "linear"] == pytest.approx(40)
    assert table.loc["audio", "linear_std"] == pytest.approx(20)
    assert table.loc["audio", "knn_std"] == pytest.approx(0)
    assert table.loc["text", "knn"] == pytest.approx(90)
    assert (table["chance"] == 60).all()
    assert len(contrastive.probes(records())) == 0  # no labels
    shown = markdown(table.reset_index(), contrastive.PROBE_LAYOUT)
    assert "| 0.40 | 1.00 | all | audio | 40.0 ± 20.0 | 40.0 ± 0.0 | 60.0 |" in shown
