"""The benchmark on runs whose predictions are written out, against loops over the seeds."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import t, ttest_rel

from amid.core.checkpoint import write_checkpoint
from amid.data.splits import features_fingerprint
from amid.errors import AmidError, ConfigError
from amid.networks.crossmodal import CrossModal
from amid.studies import benchmark, benchmark_layout, rendering
from amid.studies.benchmark_layout import joined
from amid.studies.plotting import to_inline_svg
from tests import benchmarked
from tests.recorded import put, record
from tests.small import ROOT, project_params, small_params, write_data

BLOCK = benchmark.Block(
    protocols={"paper": 4, "strong": 2},
    configurations=["student_alone", "kd", "amid"],
    alone="student_alone",
    plain="kd",
    level=0.05,
)
# right test clips of 20, a seed each
RIGHT = {"student_alone": (10, 11, 9, 10), "kd": (12, 11, 11, 13), "amid": (15, 16, 15, 17)}


def run(right: int, seed: int = 0) -> SimpleNamespace:
    spec = SimpleNamespace(seed=seed)
    return SimpleNamespace(
        accuracy=lambda head: right / 20, spec=spec, key=f"run{right}", best_epoch=2
    )


def made(seeds: int = 4, right: dict = RIGHT) -> dict:
    return {name: [run(r, n) for n, r in enumerate(of[:seeds])] for name, of in right.items()}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    panels = {("toy", "paper"): made(), ("toy", "strong"): made(2)}
    return benchmark.benchmark(panels, BLOCK, {"toy": 1234})


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
    panels = {
        (name, "paper"): made(right=rows)
        for name, rows in {"ahead": RIGHT, "behind": swapped, "equal": equal}.items()
    }
    table = benchmark.benchmark(panels, BLOCK)
    assert table[table["dataset"] == "equal"]["p_alone"].isna().all()
    assert table[table["dataset"] == "equal"]["friedman"].isna().all()
    counts = benchmark.won_and_lost(table).set_index("configuration")
    names = [f"{what}_alone" for what in ("won", "drawn", "lost")]
    assert counts.loc["amid", names].tolist() == [1, 1, 1]
    assert counts.loc["student_alone", names].tolist() == [0, 0, 0]
    assert counts.loc["student_alone", "won_plain"] == 1
    assert counts.loc["amid", "mean_rank"] == pytest.approx(
        table.groupby("configuration")["rank"].mean()["amid"]
    )
    assert (counts["data_sets"] == 3).all()


def test_one_seed_has_no_interval_and_no_test(tmp_path: Path) -> None:
    table = benchmark.benchmark({("toy", "paper"): made(1)}, BLOCK).set_index("configuration")
    assert table.loc["amid", "difference_alone"] == pytest.approx(25.0)
    nothing = ["interval", "interval_alone", "effect_alone", "p_alone", "p_alone_holm", "friedman"]
    assert table.loc["amid", nothing].isna().all()
    text = rendering.markdown(table.reset_index(), benchmark_layout.LAYOUT)
    assert "| **AMID** | 1 | 75.0 | - | +25.0 | - | - | +15.0 | - | - | 1.0 |" in text
    svg = drawn(table.reset_index())
    assert "critical difference 3.3, wider than the axis" in svg
    assert "toy, protocol paper, 1 seed<" in svg


def test_equal_differences_have_no_effect_but_for_rounding() -> None:
    """15/20 - 14/20 and 17/20 - 16/20 are not the same float: their deviation is no noise."""
    right = {"student_alone": (14, 16, 3), "kd": (15, 17, 4), "amid": (15, 17, 4)}
    table = benchmark.benchmark({("toy", "paper"): made(right=right)}, BLOCK)
    rows = table.set_index("configuration")
    assert rows.loc["kd", "difference_alone"] == pytest.approx(5.0)
    assert (
        rows.loc[["kd", "amid"], ["effect_alone", "p_alone", "p_alone_holm"]].isna().all(axis=None)
    )
    text = rendering.markdown(table, benchmark_layout.LAYOUT)
    assert "+5.0 [5.0, 5.0] | - | - |" in text
    assert "+0.0 [0.0, 0.0] | - | - |" in text
    assert ">KD 1.5<" in drawn(table).replace("  ", " ")


def test_two_configurations_under_one_protocol() -> None:
    right = {name: RIGHT[name] for name in ("student_alone", "kd")}
    block = BLOCK.model_copy(update={"configurations": list(right), "protocols": {"paper": 4}})
    table = benchmark.benchmark({("toy", "paper"): made(right=right)}, block)
    assert table["friedman"].isna().all()
    # Demšar (2006), Table 5: q = 1.960 for two at the level 0.05
    assert table["critical"].unique() == pytest.approx([1.96 * math.sqrt(6 / 24)], abs=1e-3)
    (gained,) = table["difference_alone"].dropna()
    assert gained == pytest.approx(8.75)
    assert "toy, protocol strong" not in drawn(table)


def test_bars_join_the_largest_groups_within_the_critical_difference() -> None:
    ranks = [1.0, 2.0, 2.5, 4.4, 4.5, 7.0]
    assert joined(ranks, 2.0) == [(0, 2), (2, 3), (3, 4)]
    assert joined([1.0, 2.0, 3.0], 1.0) == []  # as far apart as the critical difference: told apart
    assert joined([1.0, 2.0, 3.0], 1.5) == [(0, 1), (1, 2)]
    assert joined([1.0, 2.0, 3.0], 9.0) == [(0, 2)]
    assert joined([2.0, 2.0, 2.0], 0.5) == [(0, 2)]


def drawn(table: pd.DataFrame) -> str:
    """Both figures as elements of a page."""
    return "".join(
        to_inline_svg(draw(table), name)
        for name, draw in (("a", benchmark_layout.draw_gains), ("b", benchmark_layout.draw_ranks))
    )


def test_it_can_be_read(table: pd.DataFrame) -> None:
    text = rendering.markdown(table, benchmark_layout.LAYOUT)
    half = t.ppf(0.975, 3) * 4.787136 / 2  # of 75, 80, 75, 85
    shown = f"78.8 [{78.75 - half:.1f}, {78.75 + half:.1f}] | 4.8 | +28.8 ["
    assert f"| paper | **AMID** | 4 | {shown}" in text
    assert "| strong | Baseline (student alone) | 2 |" in text
    counts = rendering.markdown(benchmark.won_and_lost(table), benchmark_layout.LAYOUT_ALL)
    assert "| paper | **AMID** | 1 | 1.0 | 1 | 0 | 0 |" in counts
    note = benchmark_layout.note(table)
    assert (
        "the same network in every row of a data set, of as many parameters: 1,234 on toy" in note
    )
    assert "level of intervals and tests is 0.05" in note
    unknown = benchmark_layout.note(table.assign(parameters=pd.NA))
    end = (
        "the student is the same network in every row of a data set; so it costs the same at test."
    )
    assert unknown.endswith(f"Deployed, {end}")
    tex = rendering.latex(table, benchmark_layout.LAYOUT)
    assert tex.count("$[") == 2 * (3 + 2 + 2)


def test_gains_are_drawn_with_their_intervals_the_largest_on_top(table: pd.DataFrame) -> None:
    figure = benchmark_layout.draw_gains(table)
    titles = ["toy, protocol paper, 4 seeds", "toy, protocol strong, 2 seeds"]
    assert [axis.get_title() for axis in figure.axes] == titles
    paper = figure.axes[0]
    assert [label.get_text() for label in paper.get_yticklabels()] == ["AMID", "KD"]
    rows = table[table["protocol"] == "paper"].set_index("configuration")
    places = {}
    for bar in paper.containers:
        (x,), (y,) = bar.lines[0].get_data()
        ((low, _), (high, _)) = bar.lines[2][0].get_segments()[0]
        places[y] = (x, low, high, bar.lines[0].get_marker())
    for y, name, marker in ((0, "amid", "o"), (1, "kd", "D")):
        gain, half = rows.loc[name, ["difference_alone", "interval_alone"]]
        assert places[y][:3] == pytest.approx((gain, gain - half, gain + half))
        assert places[y][3] == marker
    lines = [line.get_xdata()[0] for line in paper.lines if line.get_ydata()[0] == 0]
    assert {0, rows.loc["kd", "difference_alone"]} <= set(lines)


def test_ranks_are_drawn_at_their_places_with_bars(table: pd.DataFrame) -> None:
    axis = benchmark_layout.draw_ranks(table).axes[0]
    rows = table[table["protocol"] == "paper"].set_index("configuration")
    elbows = {line.get_xdata()[0]: line for line in axis.lines if len(line.get_xdata()) == 3}
    assert sorted(elbows) == sorted(set(rows["rank"]))
    assert rows.loc["amid", "rank"] == 1
    assert elbows[rows.loc["amid", "rank"]].get_xdata()[-1] < 1  # the best on the left
    assert elbows[rows.loc["student_alone", "rank"]].get_xdata()[-1] > 3
    bars = [line.get_xdata() for line in axis.lines if line.get_linewidth() > 3]
    ranks = sorted(rows["rank"])
    groups = joined(ranks, rows["critical"].iloc[0])
    for (first, last), (low, high) in zip(groups, bars, strict=True):
        assert (low, high) == pytest.approx((ranks[first], ranks[last]), abs=0.05)
    shown = {text.get_text() for text in axis.texts}
    assert {"AMID  1.0", f"critical difference {rows['critical'].iloc[0]:.1f}"} <= shown


def test_a_panel_that_was_not_trained_stays_empty() -> None:
    panels = {("one", "paper"): made(), ("one", "strong"): made(2), ("two", "paper"): made()}
    for draw in (benchmark_layout.draw_gains, benchmark_layout.draw_ranks):
        figure = draw(benchmark.benchmark(panels, BLOCK))
        assert [axis.get_title() for axis in figure.axes] == [
            *("one, protocol paper, 4 seeds", "one, protocol strong, 2 seeds"),
            *("two, protocol paper, 4 seeds", ""),
        ]


def test_what_was_not_trained_is_told_and_the_rest_compared(tmp_path: Path) -> None:
    few = {"protocols": {"paper": 2}, "configurations": ["student_alone", "kd", "amid"]}
    benchmarked.write_runs(benchmarked.params(["avlips"], **few), tmp_path / "runs")
    more = benchmarked.params(["avlips", "grid"], {"paper": 2, "strong": 3}, few["configurations"])
    benchmark.TABLE_BENCHMARK.write(more, tmp_path / "runs", tmp_path)
    text = (tmp_path / "table_benchmark.md").read_text()
    for missing in ("avlips, protocol strong", "grid, protocol paper", "grid, protocol strong"):
        assert f"**{missing}: not trained for this benchmark.**" in text
    found = pd.read_csv(tmp_path / "table_benchmark.csv")
    assert found[["dataset", "protocol"]].drop_duplicates().values.tolist() == [["avlips", "paper"]]
    assert found["parameters"].isna().all()  # there are no model files
    seeds = pd.read_csv(tmp_path / "table_benchmark_seeds.csv", dtype={"run": str})
    assert len(seeds) == 6
    panels, _ = benchmark.load(more, tmp_path / "runs")
    keys = [run.key for of in panels["avlips", "paper"].values() for run in of]
    assert seeds["run"].tolist() == keys
    means = seeds.groupby("configuration")["student"].mean()
    own = found.set_index("configuration")["student"]
    assert own.to_dict() == pytest.approx(means.to_dict(), abs=1e-3)
    with pytest.raises(AmidError, match=r"nothing to compare \(grid, protocol paper: not trained"):
        benchmark.TABLE_BENCHMARK.write(
            benchmarked.params(["grid"], **few), tmp_path / "runs", tmp_path
        )


def test_a_run_that_is_missing_is_still_named(tmp_path: Path) -> None:
    of = benchmarked.params(["avlips"], {"paper": 2}, ["student_alone", "kd"])
    benchmarked.write_runs(of, tmp_path)
    (tmp_path / "benchmark" / "avlips" / "paper" / "kd" / "seed1" / "record.json").unlink()
    with pytest.raises(AmidError, match=r"kd/seed1/record\.json is missing"):
        benchmark.load(of, tmp_path)


def test_the_students_parameters_are_those_of_its_model_file(tmp_path: Path) -> None:
    network = CrossModal(
        trains=("student",), classes=3, target_shape=(8, 6), auxiliary_dims={}, seed=0,
        network=small_params().network.model_dump() | {"encoder": "gru"},
    )  # fmt: skip
    card = {"auxiliary": [], "classes": ["a", "b", "c"], "directions": False, "heads": ["student"]}
    card |= {"network": small_params().network.model_dump() | {"encoder": "gru"}, "shape": [8, 6]}
    of = benchmarked.params(["avlips"], {"paper": 1}, ["student_alone", "kd"])
    benchmarked.write_runs(of, tmp_path)
    place = tmp_path / "benchmark" / "avlips" / "paper" / "student_alone" / "seed0"
    write_checkpoint(place / "model.safetensors", network.state_dict(), card)
    panels, _ = benchmark.load(of, tmp_path)
    count = sum(p.numel() for p in network.parameters())
    assert 0 < count < sum(v.numel() for v in network.state_dict().values())  # less its statistics
    assert benchmark.deployed_parameters(panels, tmp_path) == {"avlips": count}
    (run,) = panels["avlips", "paper"]["kd"]
    other = replace(run, spec=replace(run.spec, network={"dim": 7}))
    rows = {**panels["avlips", "paper"], "kd": [other]}
    assert benchmark.deployed_parameters({("avlips", "paper"): rows}, tmp_path) == {"avlips": None}


def test_the_parameters_trained_are_told_of_every_row_that_has_a_model_file(tmp_path: Path) -> None:
    data = write_data(tmp_path / "avlips")
    names = ["student_alone", "kd", "amid"]
    of = small_params(
        table_benchmark=BLOCK.model_copy(
            update={"protocols": {"paper": 1}, "configurations": names, "plain": "kd"}
        )
    )
    runs = benchmark.plan(of, "avlips", partial(features_fingerprint, data))
    for run in runs:
        right = {"student": 30}
        made = replace(record(right), spec=run.spec, classes=["blue", "green", "red", "white"])
        place = tmp_path / "runs" / "benchmark" / "avlips" / run.folder
        put(made, place)
        if run.configuration != "kd":
            write_checkpoint(place / "model.safetensors", {"x": torch.zeros(1)}, {"shape": [8, 6]})
    panels, _ = benchmark.load(of, tmp_path / "runs")
    sizes = benchmark.trained(panels, of, tmp_path / "runs")
    assert [name for _, _, name in sizes] == ["student_alone", "amid"]
    table = benchmark.benchmark(panels, of.table_benchmark, None, sizes).set_index("configuration")
    alone, amid = table.loc["student_alone"], table.loc["amid"]
    assert alone["trained"] == alone["trained_student"] == amid["trained_student"] > 0
    assert amid["trained_teacher"] == (16 + 16 + 1) * 16 + (16 + 1) * 16  # Fusion, 16 hidden
    assert amid["trained"] == amid[[f"trained_{p}" for p in ("student", "teacher", "method")]].sum()
    assert amid["trained_method"] > amid["trained_teacher"]  # D1 and D2, 128 wide
    assert pd.isna(table.loc["kd", "trained"])
    text = rendering.markdown(table.reset_index(), benchmark_layout.LAYOUT)
    assert f"| {amid['trained']:,} |" in text
    said = benchmark_layout.note(table.reset_index())
    assert "so it costs the same at test. parameters trained: by a run" in said


@pytest.mark.slow
def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    """In another process, with other hashes, locale and time zone."""
    code = (
        "import sys; from pathlib import Path; from tests import benchmarked\n"
        "few = ['student_alone', 'kd', 'amid']\n"
        "of = benchmarked.params(['avlips'], {'paper': 3, 'strong': 2}, few)\n"
        "benchmarked.write_reports(of, Path(sys.argv[1]))"
    )
    for name, of in (("a", {}), ("b", {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"})):
        (tmp_path / name).mkdir()
        environment = {**os.environ, **of, "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    first = {path.name: path.read_bytes() for path in (tmp_path / "a" / "reports").iterdir()}
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "b" / "reports").iterdir()}
    assert len(first) == 9


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
    block = project_params().table_benchmark
    assert block.protocols == {"paper": 10}
    assert len(block.configurations) == 18
