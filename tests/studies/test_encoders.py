"""benchmarks.encoders: encoders alone and baselines, on the clips of one run."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amid.data.feature_store import FeatureStore
from amid.errors import AmidError, ConfigError
from amid.inspection.probe import probe
from amid.networks import ENCODERS
from benchmarks import encoders
from tests.small import project_params, small_params, sum_all, write_data

ROCKET = os.environ.get("AMID_ROCKET", "")  # an interpreter that has aeon
# In place of aeon: nearest centroids, and for its seed 1 always the first class.
STAND_IN = """
import numpy as np

class MiniRocketClassifier:
    def __init__(self, random_state, n_jobs):
        self.seed = random_state
    def fit(self, clips, labels):
        assert clips.dtype == np.float32 and clips.shape[1:] == (6, 128), clips.shape
        assert abs(clips.mean((0, 2))).max() < 0.1, "not standardised"
        self.means = np.stack([clips[labels == n].mean((0, 2)) for n in np.unique(labels)])
        return self
    def predict(self, clips):
        means = clips.mean(2)
        nearest = ((means[:, None] - self.means) ** 2).sum(2).argmin(1)
        return nearest if self.seed != 1 else nearest * 0

class MultiRocketClassifier(MiniRocketClassifier):
    def fit(self, clips, labels):
        raise ValueError("too short")
"""


def benchmark(monkeypatch, data: Path, *words: str) -> None:
    monkeypatch.setattr(encoders, "load_params", lambda path: small_params())
    monkeypatch.setattr(sys, "argv", ["encoders", "avlips", "--data", str(data), *words])
    encoders.main()


def table(out: str) -> dict[str, list[str]]:
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in out.splitlines()]
    return {row[0]: row[1:] for row in cells if len(row) == 4}


@pytest.fixture
def stand_in(tmp_path: Path) -> str:
    """An interpreter whose aeon is STAND_IN."""
    place = tmp_path / "rocket"
    (place / "aeon" / "classification").mkdir(parents=True)
    (place / "aeon" / "__init__.py").touch()
    (place / "aeon" / "classification" / "__init__.py").touch()
    (place / "aeon" / "classification" / "convolution_based.py").write_text(STAND_IN)
    (place / "aeon-1.6.0.dist-info").mkdir()
    (place / "aeon-1.6.0.dist-info" / "METADATA").write_text("Name: aeon\nVersion: 1.6.0\n")
    python = place / "python"
    words = f'[ "$1" = -I ] && shift\nPYTHONPATH={place} exec {sys.executable} "$@"'
    python.write_text(f"#!/bin/sh\n{words}\n")
    python.chmod(0o755)
    return str(python)


def test_encoders_and_baselines_are_told_in_one_table(
    tmp_path: Path, monkeypatch, capsys, stand_in: str
) -> None:
    data, csv = write_data(tmp_path / "data"), tmp_path / "runs.csv"
    words = ("--encoders", "gru,cnn", "--seeds", "2", "--rocket", stand_in)
    words += ("--baselines", "linear,neighbour,svm,minirocket")
    benchmark(monkeypatch, data, *words, "--csv", str(csv))
    out = capsys.readouterr().out
    assert "avlips, video: 40 training clips, 24 test clips, paper" in out
    told, runs = table(out), pd.read_csv(csv)
    assert list(told)[2:] == ["linear", "neighbour", "svm", "minirocket", "gru", "cnn"]
    for model, (_, seeds, top1) in list(told.items())[2:]:
        of = runs[runs["model"] == model]
        assert seeds == ("-" if of["seed"].isna().all() else "2")
        spread = "" if len(of) == 1 else f" ± {of['top1'].std():.1f}"
        assert top1 == f"{of['top1'].mean():.1f}{spread}"
    assert told["minirocket"][0] == "aeon 1.6.0"
    # The stand-in: four classes, one of which the second seed says of all clips.
    of_seed = runs[runs["model"] == "minirocket"].set_index("seed")["top1"]
    assert of_seed[0] > 90
    assert of_seed[1] == 25
    probed = probe(FeatureStore.open(data / "features"))["modalities"]["video"]["test"]
    assert runs.set_index("model").loc["linear", "top1"] == pytest.approx(100 * probed)


def test_a_failure_of_the_other_interpreter_is_told(
    tmp_path: Path, monkeypatch, stand_in: str
) -> None:
    data = write_data(tmp_path / "data")
    words = ("--rocket", stand_in, "--baselines", "multirocket", "--encoders", "")
    with pytest.raises(SystemExit, match="failed: ValueError: too short"):
        benchmark(monkeypatch, data, *words)


def test_without_an_interpreter_the_others_are_told(tmp_path: Path, monkeypatch, capsys) -> None:
    data = write_data(tmp_path / "data")
    benchmark(monkeypatch, data, "--encoders", "", "--seeds", "1")
    out = capsys.readouterr().out
    assert "without minirocket, multirocket: --rocket names no interpreter" in out
    assert list(table(out))[2:] == ["linear", "neighbour", "svm"]


def test_every_encoder_of_sequences_is_trained_unless_named() -> None:
    assert set(ENCODERS) - set(encoders.of_sequences()) == {"mlp", "r2plus1d"}
    params = encoders.with_encoder(project_params(), "avlips", "resnet")
    assert params.dataset("avlips").encoders["video"] == "resnet"
    before = project_params().dataset("avlips").encoders
    assert params.dataset("avlips").encoders == {**before, "video": "resnet"}


def test_sequences_are_resampled_to_one_length() -> None:
    clips = np.full((2, 5, 2), np.nan, np.float32)
    clips[0] = [[0, 0], [1, -2], [2, -4], [3, -6], [4, -8]]
    clips[1, :3] = [[0, 7], [2, 7], [6, 7]]
    found = encoders.resampled(clips, 5)
    assert (found[0] == clips[0]).all()
    assert found[1].tolist() == [[0, 7], [1, 7], [2, 7], [4, 7], [6, 7]]
    assert encoders.resampled(found, 9)[0, :, 0].tolist() == [n / 2 for n in range(9)]


def test_all_are_judged_by_the_clips_that_judge_the_students(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    path = data / "features" / "index.parquet"
    index = pd.read_parquet(path)
    tested = index.index[index["split"] == "test"]
    index.loc[tested[:10], "has_audio"] = False  # no student is judged by these
    # ... whose labels are wrong, so that whoever is judged by them has a lower accuracy.
    index.loc[tested[:10], "label_index"] = (index.loc[tested[:10], "label_index"] + 1) % 4
    index.to_parquet(path, index=False)
    sum_all(data / "features")
    spec = encoders.student(small_params(), "avlips", data, "gru", 0)
    clips = encoders.sequences(data, spec)
    assert (len(clips.train), len(clips.test), clips.test.shape[1:]) == (40, 14, (8, 6))
    all_of_them = probe(FeatureStore.open(data / "features"))["modalities"]["video"]["test"]
    assert all_of_them < 0.7
    assert encoders.linear(data, spec) > 90


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--encoders", "gruu"), "--encoders: unknown name 'gruu'; there are: gru, cnn, resnet,"),
        (("--encoders", "mlp"), "--encoders: unknown name 'mlp'"),
        (("--baselines", "minirocket"), "minirocket needs --rocket"),
        (("--rocket", "/no/python"), "--rocket: /no/python cannot be run: No such file"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_trained(
    tmp_path: Path, monkeypatch, capsys, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(encoders, "trainer_in", None)
    with pytest.raises(SystemExit):
        benchmark(monkeypatch, write_data(tmp_path / "data"), *words)
    assert said in capsys.readouterr().err


def test_an_interpreter_without_aeon_is_told_how_to_get_it() -> None:
    with pytest.raises(ConfigError, match=re.escape("-m pip install aeon==1.6.0")):
        encoders.aeon_of(sys.executable)


def test_a_target_that_is_no_sequence_is_told(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    video = np.load(data / "features" / "video.npy", allow_pickle=False).mean(1)
    np.save(data / "features" / "video.npy", video)
    sum_all(data / "features")
    spec = encoders.student(small_params(), "avlips", data, "mlp", 0)
    with pytest.raises(AmidError, match="'video' of 'avlips' is no sequence of vectors"):
        encoders.sequences(data, spec)


@pytest.mark.skipif(not ROCKET, reason="AMID_ROCKET names no interpreter that has aeon")
def test_aeon_learns_what_the_clips_say() -> None:
    rng, labels = np.random.default_rng(0), np.arange(48) % 4
    waves = np.sin((labels[:, None] + 1) * np.linspace(0, 2 * np.pi, 16))  # levels are not seen
    values = waves[:, :, None] + rng.normal(scale=0.5, size=(48, 16, 6))
    clips = encoders.Sequences(values[:24], labels[:24], values[24:], labels[24:])
    found = encoders.of_rocket(ROCKET, ["minirocket", "multirocket"], clips, range(2))
    assert found.keys() == {"minirocket", "multirocket"}
    assert all(of.keys() == {0, 1} and min(of.values()) > 90 for of in found.values())
