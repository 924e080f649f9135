"""The linear probe: right values on features that a linear classifier can and cannot tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amid.data.feature_store import FeatureStore
from amid.inspection.probe import as_lines, probe, summaries
from tests.small import sum_all, write_data


def with_sequences(folder: Path) -> FeatureStore:
    """`video` as sequences of 3 to 30 steps whose mean says the class; `audio` as noise."""
    write_data(folder)
    path = folder / "features" / "index.parquet"
    index = pd.read_parquet(path)
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 31, len(index))
    index["video_start"], index["video_length"] = np.cumsum(lengths) - lengths, lengths
    means = np.repeat(5 * np.eye(4)[index["label_index"]], lengths, axis=0)
    np.save(folder / "features" / "video.npy", (means + rng.normal(size=means.shape)).astype("f4"))
    noise = rng.normal(size=(len(index), 700)).astype(np.float32)  # more than 512: projected
    np.save(folder / "features" / "audio.npy", noise)
    index.loc[index["split"] == "test", "has_audio"] = False
    index.to_parquet(path, index=False)
    sum_all(folder / "features")
    return FeatureStore.open(folder / "features")


def test_it_tells_features_from_noise_and_gives_the_same_every_time(tmp_path: Path) -> None:
    features = with_sequences(tmp_path)
    found = probe(features)
    assert found["chance"] == 0.25  # four classes of equal size
    assert found["modalities"]["video"] == {"validation": 1.0, "test": 1.0}
    noise = found["modalities"]["audio"]
    assert noise["validation"] < 0.5
    assert noise["test"] is None  # no test clip has the modality
    assert probe(features) == found
    assert as_lines(found)[0].startswith("linear probe of ")
    assert "linear probe of video: 100.0 % on test, 100.0 % on validation (chance 25.0 %)" in (
        as_lines(found)
    )


def test_a_sequence_is_the_moments_of_its_quarters(tmp_path: Path) -> None:
    features = with_sequences(tmp_path)
    starts, lengths = features.spans("video")
    row = int(np.argmax(lengths))
    values = np.asarray(features.array("video")[starts[row] :][: lengths[row]], np.float64)
    (found,) = summaries(features, "video", np.array([row]))
    quarters = np.array_split(values, 4)
    assert found.shape == (9 * 4,)
    assert found[:4] == pytest.approx(quarters[0].mean(0))
    assert found[4 * 4 : 5 * 4] == pytest.approx(quarters[0].std(0))
    assert found[-4:] == pytest.approx(values.std(0))


def test_a_film_is_a_grid_of_means_over_time(tmp_path: Path) -> None:
    features = with_sequences(tmp_path)
    films = np.zeros((int(features.spans("video")[1].sum()), 16, 24, 3), np.uint8)
    films[:, :2, :3] = 90  # the first cell of the 8 x 8
    np.save(tmp_path / "features" / "video.npy", films)
    sum_all(tmp_path / "features")
    found = summaries(FeatureStore.open(tmp_path / "features"), "video", np.array([0, 1]))
    assert found.shape == (2, 9 * 64)
    assert (found[:, 0] == 90).all()
    assert (found[:, 1:64] == 0).all()
