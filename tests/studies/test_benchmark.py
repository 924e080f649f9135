"""The benchmark on runs whose predictions are written out, against loops over the seeds."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, ttest_rel

from amid.data.splits import features_fingerprint
from amid.errors import ConfigError
from amid.studies import benchmark, rendering
from tests.small import ROOT, small_params, write_data

BLOCK = benchmark.Block(
    protocols={"paper": 4, "strong": 2},
    configurations=["student_alone", "kd", "amid"],
    alone="student_alone",
    plain="kd",
    level=0.05,
)
# right test clips of 20, a seed each
RIGHT = {"student_alone": (10, 11, 9, 10), "kd": (12, 11, 11, 13), "amid": (15, 16, 15, 17)}


def run(right: int) -> SimpleNamespace:
    return SimpleNamespace(accuracy=lambda head: right / 20)


def made(seeds: int = 4) -> dict:
    return {"toy": {name: [run(r) for r in right[:seeds]] for name, right in RIGHT.items()}}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return benchmark.benchmark({"paper": made(), "strong": made(2)}, BLOCK)


def test_numbers_are_those_of_loops_over_the_seeds(table: pd.DataFrame) -> None:
    assert list(table["configuration"]) == 2 * list(RIGHT)
    assert list(table["seeds"]) == [4, 4, 4, 2, 2, 2]
    paper = table[table["protocol"] == "paper"].set_index("configuration")
    accuracies = {name: [100 * r / 20 for r in right] for name, right in RIGHT.items()}
    for name, values in accuracies.items():
        mean = sum(values) / 4
        std = math.sqrt(sum((v - mean) ** 2 for v in values) / 3)
        assert paper.loc[name, ["student", "student_std"]].tolist() == pytest.approx([mean, std])
        assert paper.loc[name, "interval"] == pytest.approx(t.ppf(0.975, 3) * std / 2)
        for other, reference in (("alone", "student_alone"), ("plain", "kd")):
            if name == reference:
                assert paper.loc[name, [f"difference_{other}", f"p_{other}"]].isna().all()
                continue
            gains = [v - r for v, r in zip(values, accuracies[reference], strict=True)]
            gain, spread = np.mean(gains), np.std(gains, ddof=1)
            assert paper.loc[name, f"difference_{other}"] == pytest.approx(gain)
            assert paper.loc[name, f"effect_{other}"] == pytest.approx(gain / spread)
            half = t.ppf(0.975, 3) * spread / 2
            assert paper.loc[name, f"interval_{other}"] == pytest.approx(half)
            p = ttest_rel(values, accuracies[reference]).pvalue
            assert paper.loc[name, f"p_{other}"] == pytest.approx(p)
    smaller, larger = sorted(paper["p_alone"].dropna())
    assert sorted(paper["p_alone_holm"].dropna()) == pytest.approx(
        [2 * smaller, max(2 * smaller, larger)]
    )


def test_ranks_are_counted_in_each_seed_and_ties_shared(table: pd.DataFrame) -> None:
    paper = table[table["protocol"] == "paper"].set_index("configuration")
    ranks = {name: [] for name in RIGHT}
    for seed in range(4):
        for name, right in RIGHT.items():
            above = sum(other[seed] > right[seed] for other in RIGHT.values())
            equal = sum(other[seed] == right[seed] for other in RIGHT.values())
            ranks[name].append(above + (equal + 1) / 2)
    assert ranks["kd"][1] == ranks["student_alone"][1] == 2.5
    for name, places in ranks.items():
        assert paper.loc[name, "rank"] == pytest.approx(sum(places) / 4)
    # Demšar (2006), Table 5: q = 2.343 for three at the level 0.05
    assert paper["critical"].unique() == pytest.approx(
        [2.343 * math.sqrt(3 * 4 / (6 * 4))], abs=1e-3
    )


def test_won_drawn_and_lost_are_counted_over_data_sets() -> None:
    swapped = {"student_alone": RIGHT["amid"], "kd": RIGHT["kd"], "amid": RIGHT["student_alone"]}
    equal = dict.fromkeys(RIGHT, RIGHT["kd"])
    records = {
        name: {row: [run(r) for r in right] for row, right in rows.items()}
        for name, rows in {"ahead": RIGHT, "behind": swapped, "equal": equal}.items()
    }
    table = benchmark.benchmark({"paper": records}, BLOCK)
    assert table[table["dataset"] == "equal"]["p_alone"].isna().all()
    assert table[table["dataset"] == "equal"]["friedman"].isna().all()
    counts = benchmark.won_and_lost(table, BLOCK.level).set_index("configuration")
    names = [f"{what}_alone" for what in ("won", "drawn", "lost")]
    assert counts.loc["amid", names].tolist() == [1, 1, 1]
    assert counts.loc["student_alone", names].tolist() == [0, 0, 0]
    assert counts.loc["student_alone", "won_plain"] == 1
    assert counts.loc["amid", "mean_rank"] == pytest.approx(
        table.groupby("configuration")["rank"].mean()["amid"]
    )
    assert (counts["data_sets"] == 3).all()


def test_one_seed_has_no_interval_and_no_test() -> None:
    table = benchmark.benchmark({"paper": made(1)}, BLOCK).set_index("configuration")
    assert table.loc["amid", "difference_alone"] == pytest.approx(25.0)
    nothing = ["interval", "interval_alone", "effect_alone", "p_alone", "p_alone_holm"]
    assert table.loc["amid", nothing].isna().all()


def test_it_can_be_read_and_looked_at(table: pd.DataFrame, tmp_path: Path) -> None:
    text = rendering.markdown(table, benchmark.LAYOUT)
    assert "| paper | **AMID** | 4 | 78.8 ± 4.8 |" in text
    assert "| strong | Baseline (student alone) | 2 |" in text
    counts = benchmark.won_and_lost(table, BLOCK.level)
    assert "| paper | **AMID** | 1.0 | 1 | 0 | 0 |" in rendering.markdown(
        counts, benchmark.LAYOUT_ALL
    )
    figure = benchmark.draw(table, BLOCK)
    assert [axis.get_title() for axis in figure.axes] == ["toy, paper", "toy, strong"]


def test_the_runs_are_all_methods_under_both_protocols(tmp_path: Path) -> None:
    data = write_data(tmp_path / "avlips")
    params = small_params(table_benchmark=BLOCK)
    own = params.data["avlips"].model_copy(
        update={"training": {"batch_size": 8, "protocol": "strong"}}
    )
    params = params.model_copy(update={"data": {**params.data, "avlips": own}})
    runs = benchmark.plan(params, "avlips", partial(features_fingerprint, data))
    assert [run.folder for run in runs] == [
        f"{protocol}/{name}/seed{seed}"
        for protocol, seeds in (("paper", 4), ("strong", 2))
        for name in ("student_alone", "kd", "amid")
        for seed in range(seeds)
    ]
    chosen = {run.folder.split("/")[0]: run.spec.training.get("choose") for run in runs}
    assert chosen == {"paper": None, "strong": "last"}  # whatever the data set's own protocol is
    assert {run.spec.training["batch_size"] for run in runs} == {8}
    assert all((run.teacher is not None) == (run.configuration == "kd") for run in runs)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"configurations": ["student_alone", "kd", "amidd"]}, "'amidd'"),
        ({"configurations": ["student_alone", "amid"]}, r"table_benchmark\.plain.*'kd'"),
        ({"configurations": ["student_alone", "kd", "kd"]}, "twice"),
        ({"configurations": ["student_alone", "kd", "teacher_alone"]}, "trains no student"),
    ],
)
def test_a_row_that_cannot_be_compared_is_told_before_training(changes: dict, words: str) -> None:
    params = small_params(table_benchmark=BLOCK.model_copy(update=changes))
    with pytest.raises(ConfigError, match=words):
        benchmark.TABLE_BENCHMARK.check(params)


def test_the_committed_block_fits() -> None:
    from amid.studies import load_params

    block = load_params(ROOT / "params.yaml").table_benchmark
    assert block.protocols == {"paper": 10, "strong": 20}
    assert len(block.configurations) == 16
