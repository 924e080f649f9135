"""benchmarks.few_labels and benchmarks.paired: rows of the command line, comparison of runs."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from amid.core.types import RunRecord, RunSpec
from amid.errors import AmidError, ConfigError
from amid.training.job import TrainingJob
from benchmarks import few_labels, paired
from benchmarks.few_labels import read_rows, with_rows
from tests.small import project_params, small_params, sum_all, write_data

PARAMS = project_params()
STUDENT, KD, AMID = [16.0, 17.0, 15.5, 18.0], [29.0, 31.0, 30.5, 28.0], [30.0, 31.5, 31.0, 28.0]


def runs(**configurations: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "dataset": "avlips", "labels": 4, "others": 1, "configuration": name, "seed": seed,
            "top1": value,
        }
        for name, values in configurations.items()
        for seed, value in enumerate(values)
    )  # fmt: skip


def test_a_row_of_the_command_line_is_as_one_of_params() -> None:
    row = "{mine: {method: amid, teacher: fixed, jensen_shannon: 4e0}}"  # YAML 1.2: a number
    params = with_rows(PARAMS, read_rows(row))
    assert params.resolved("mine") == PARAMS.resolved("amid_unlabelled")
    assert params.resolved("kd") == PARAMS.resolved("kd")
    assert "mine" not in PARAMS.configurations


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("{mine: {method: amid, jensen: 4.0}}", "jensen"),
        ("{mine: {alpha: 1.0}}", "must name its `method`"),
        ("[amid]", "wants a mapping"),
        ("{mine: amid}", "wants a mapping"),
        ("{mine: {", "no YAML"),
    ],
)
def test_a_wrong_row_is_told(rows: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        with_rows(PARAMS, read_rows(rows))


def test_comparisons_are_paired_by_seed_and_corrected_together() -> None:
    table = runs(student_alone=STUDENT, kd=KD, mine=AMID).sample(frac=1, random_state=0)
    found = paired.compared(table, ["student_alone", "kd"])
    found = found.set_index(["configuration", "reference"])
    # Two references are compared once.
    assert set(found.index) == {("kd", "student_alone"), ("mine", "student_alone"), ("mine", "kd")}
    row = found.loc["mine", "kd"]
    assert row["difference"] == pytest.approx(0.5)
    assert row["p"] == pytest.approx(ttest_rel(AMID, KD).pvalue)
    # The largest of the p values stays, the smallest counts as often as there are tests.
    assert row["holm"] == pytest.approx(row["p"])
    smallest = found["p"].idxmin()
    assert found.loc[smallest, "holm"] == pytest.approx(3 * found.loc[smallest, "p"])


def test_only_seeds_that_both_have_are_compared() -> None:
    row = paired.compared(runs(student_alone=STUDENT, kd=KD[:3]), ["student_alone"]).iloc[0]
    assert row["seeds"] == 3
    assert row["mean"] == pytest.approx(sum(KD[:3]) / 3)


def test_a_run_given_twice_is_told() -> None:
    with pytest.raises(AmidError, match="4 rows are of a run that has a row already"):
        paired.compared(pd.concat([runs(kd=KD)] * 2), ["kd"])


def benchmark(monkeypatch, data: Path, *words: str) -> None:
    monkeypatch.setattr(few_labels, "load_params", lambda path: small_params())
    given = ["avlips", "--data", str(data), "--others-only", *words]
    monkeypatch.setattr(sys, "argv", ["few_labels", *given])
    few_labels.main()


ROW = ("--rows", "{mine: {method: amid, teacher: fixed, jensen_shannon: 16.0}}")


def test_a_row_is_trained_with_the_seeds_asked_for(tmp_path: Path, monkeypatch, capsys) -> None:
    data, table = write_data(tmp_path / "data"), tmp_path / "few.csv"
    words = ("--configurations", "student_alone", "--first-seed", "7", "--seeds", "2")
    benchmark(monkeypatch, data, *words, *ROW, "--csv", str(table))
    runs = pd.read_csv(table)
    order = [("student_alone", 7), ("student_alone", 8), ("mine", 7), ("mine", 8)]
    assert list(zip(runs["configuration"], runs["seed"], strict=True)) == order
    means = runs.groupby("configuration")["top1"].mean()
    tested = capsys.readouterr().out.splitlines()
    assert f"mine {means['mine']:.1f} ± " in tested[1]
    assert "; on validation " in tested[1]

    # A choice on validation is told nothing of the test split.
    benchmark(monkeypatch, data, *words, *ROW, "--on-validation")
    chosen = capsys.readouterr().out.splitlines()
    for one, other in zip(tested, chosen, strict=True):
        validated = one.split("; on validation ")[1].split(";")[0]
        assert other.split(": ")[1].split()[1] == validated
        assert " on validation" in other
        assert "; on validation" not in other


def test_numbers_given_are_those_of_students_and_teachers_not_of_frozen_encoders(
    tmp_path: Path, monkeypatch
) -> None:
    data = write_data(tmp_path / "data", modalities=("audio", "text"))
    text = data / "features" / "text.npy"
    np.save(text, np.load(text, allow_pickle=False)[:, 0])  # vectors
    index = pd.read_parquet(data / "features" / "index.parquet")
    index.loc[index["split"] == "auxiliary", "split"] = "unused"  # encoders are trained anew
    index.to_parquet(data / "features" / "index.parquet", index=False)
    sum_all(data / "features")
    specs: list[RunSpec] = []
    train = few_labels.train

    def recorded(job: TrainingJob) -> RunRecord:
        specs.append(job.spec)
        return train(job)

    monkeypatch.setattr(few_labels, "train", recorded)
    rows = ("--configurations", "student_alone,kd", "--seeds", "1")
    benchmark(monkeypatch, data, *rows)
    before, specs[:] = [*specs], []
    training = "{augmentation: {jitter: {noise: 0.25}}, label_smoothing: 0.5}"
    benchmark(monkeypatch, data, *rows, "--training", training, "--network", "{gru: {state: 5}}")
    assert [spec.target for spec in specs] == ["audio", "text", "video", "video", "video"]
    assert [spec.method for spec in specs] == ["baseline", "baseline", "baseline", "teacher", "kd"]
    assert specs[:2] == before[:2]
    for old, new in zip(before[2:], specs[2:], strict=True):
        assert new.training["augmentation"] == {"jitter": {"noise": 0.25}}
        assert new.training["label_smoothing"] == 0.5
        assert new.network == {**old.network, "gru": {**old.network["gru"], "state": 5}}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--training", "{augmentatoin: {}}"), "augmentatoin"),
        (("--training", "[]"), "--training: wants a mapping, such as {augmentation: {}}."),
        (("--network", "{gru: {states: 3}}"), "gru.states"),
        (("--network", "{gru"), "--network: no YAML"),
        (("--configurations", "amidd"), "unknown configuration 'amidd'; did you mean 'amid'?"),
        (("--rows", "{mine: {method: amid, jensen: 4.0}}"), "jensen"),
        (("--on-validation",), "'avlips' has no validation clips"),
        (("--on-validation", "--csv", "few.csv"), "--csv is of test accuracies"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_trained(
    tmp_path: Path, monkeypatch, capsys, words: tuple[str, ...], said: str
) -> None:
    data = write_data(tmp_path / "data")
    index = pd.read_parquet(data / "features" / "index.parquet")
    index = index[index["split"] != "validation"]
    index.to_parquet(data / "features" / "index.parquet", index=False)
    monkeypatch.setattr(few_labels, "train", None)
    with pytest.raises(SystemExit):
        benchmark(monkeypatch, data, *words)
    assert said in capsys.readouterr().err
