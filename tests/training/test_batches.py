"""The batches of an epoch, and clips that a batch leaves alone with batch normalisation."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from amid.core.checkpoint import read_checkpoint
from amid.core.types import RunSpec
from amid.data.splits import load_splits
from amid.errors import AmidError, Stopped
from amid.networks.normalise import BatchNorm, BatchNorm1d
from amid.runs.plan import auxiliary_runs
from amid.training.batches import training_batches
from tests.small import small_params, small_run, sum_all, untrained, write_data
from tests.training.test_trainer import left_by, train

METHODS = ["student_alone", "teacher_alone", "l_ft", "amid", "fixed_teacher"]
METHODS += ["crd", "gmc", "ccl", "crcd"]


@pytest.mark.parametrize(
    ("samples", "size", "wanted"),
    [
        (65, 64, [65]),
        (129, 64, [64, 65]),
        (64, 64, [64]),
        (66, 64, [64, 2]),
        (3, 2, [3]),
        (2, 64, [2]),
        (1, 64, [1]),
        (3, 1, [1, 1, 1]),  # as asked for
    ],
)
def test_a_last_batch_of_one_is_joined_to_the_one_before(samples, size, wanted) -> None:
    torch.manual_seed(0)
    batches = training_batches(samples, size)
    assert [len(batch) for batch in batches] == wanted
    torch.manual_seed(0)
    assert torch.equal(torch.cat(batches), torch.randperm(samples))  # each once, in the same order


def with_short_clips(folder: Path, rows: int, lacking: tuple[int, ...] = ()) -> Path:
    """The small data set with `rows` clips to train on, whose video is a single step each and the
    sound of which the clips `lacking` lack."""
    write_data(folder)
    path = folder / "features" / "index.parquet"
    index = pd.read_parquet(path)
    trained = np.flatnonzero(index["split"] == "train")
    index.loc[trained[rows:], "split"] = "other"
    index.loc[list(lacking), "has_audio"] = False
    index["video_start"], index["video_length"] = np.arange(len(index)), 1
    index.to_parquet(path, index=False)
    video = np.load(folder / "features" / "video.npy", allow_pickle=False)[:, 0]
    np.save(folder / "features" / "video.npy", video)
    sum_all(folder / "features")
    return folder


def short_run(folder: Path, configuration: str, **overrides: object):
    params = small_params()
    block = params.data["avlips"]
    block = block.model_copy(update={"encoders": {**block.encoders, "video": "cnn"}})
    data = {**params.data, "avlips": block}
    return small_run(folder, configuration, data=data, overrides=overrides or None)


@pytest.mark.parametrize("configuration", METHODS)
def test_one_clip_more_than_fits_the_batches_is_trained_by_every_method(
    configuration: str, tmp_path: Path
) -> None:
    folder = with_short_clips(tmp_path / "avlips", 17)  # batches of 8
    trainer = untrained(short_run(folder, configuration), folder)
    metrics = trainer.train_epoch(0)
    assert np.isfinite(metrics["train_loss"])
    assert trainer.state.steps["steps"] == 2
    assert trainer.state.steps["samples"] == 17


def test_a_lone_clip_without_sound_does_not_end_the_training(tmp_path: Path) -> None:
    """Or a lone one with it, or one that a rule of selection leaves."""
    lonely = {"one without": (0,), "one with": tuple(range(1, 16))}
    for name, rows in lonely.items():
        folder = with_short_clips(tmp_path / name / "avlips", 16, rows)
        trainer = untrained(short_run(folder, "amid"), folder)
        assert np.isfinite(trainer.train_epoch(0)["train_loss"])
    chosen = {"name": "random", "ratio": 0.1}
    trainer = untrained(short_run(folder, "amid", selection=chosen), folder)
    assert np.isfinite(trainer.train_epoch(0)["train_loss"])


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_a_run_stopped_at_a_batch_resumes_to_the_same_bytes(batches: int, tmp_path: Path) -> None:
    folder = with_short_clips(tmp_path / "avlips", 25)  # batches of 8, 8, 9
    spec = short_run(folder, "amid").spec
    whole = train(spec, folder, tmp_path / "whole")
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) == batches

    with pytest.raises(Stopped):
        train(spec, folder, tmp_path / "cut", stop=stop)
    _, state = read_checkpoint(tmp_path / "cut" / "checkpoint.safetensors")
    assert (state["epoch"], state["position"]) == (0, batches)
    resumed = train(spec, folder, tmp_path / "cut")
    assert left_by(resumed, tmp_path / "cut") == left_by(whole, tmp_path / "whole")
    assert whole.steps["steps"] == 3 * 6


def test_an_extractor_of_short_clips_is_trained(tmp_path: Path) -> None:
    """Of sound with an encoder that normalises batches, one clip more than fits the batches."""
    folder = with_short_clips(tmp_path / "avlips", 17)
    np.save(
        folder / "features" / "audio.npy",
        np.load(folder / "features" / "audio.npy", allow_pickle=False)[:, :1],
    )
    sum_all(folder / "features")
    runs = auxiliary_runs(small_params(), "avlips", "train", lambda *_: "sum")
    spec = next(run.spec for run in runs if run.configuration == "audio")
    assert spec.network["encoder"] == "cnn"
    assert train(spec, folder, tmp_path / "run").steps["steps"] == 2 * spec.training["epochs"]


def test_a_split_of_one_clip_is_a_sentence(tmp_path: Path) -> None:
    folder = with_short_clips(tmp_path / "avlips", 1)
    spec: RunSpec = short_run(folder, "student_alone").spec
    with pytest.raises(AmidError, match="avlips: one clip of the split 'train' is left to train"):
        load_splits(folder, spec)
    shutil.rmtree(folder)
    folder = with_short_clips(folder, 0)
    with pytest.raises(AmidError, match="avlips: no clip of the split 'train' is left to train"):
        load_splits(folder, short_run(folder, "student_alone").spec)


@pytest.mark.parametrize(("kind", "axes"), [(BatchNorm1d, 1), (BatchNorm, 3)])
def test_a_single_value_is_normalised_as_in_evaluation(kind: type, axes: int) -> None:
    torch.manual_seed(0)
    norm, theirs = kind(4), (torch.nn.BatchNorm1d if axes == 1 else torch.nn.BatchNorm3d)(4)
    many = torch.randn(5, 4, *[2] * axes)
    assert torch.equal(norm(many), theirs(many))  # torch's, to the last bit
    kept = {name: value.clone() for name, value in norm.state_dict().items()}
    one = torch.randn(1, 4, *[1] * axes, requires_grad=True)
    trained = norm(one)
    assert torch.equal(trained, theirs.eval()(one))
    assert all(torch.equal(norm.state_dict()[name], value) for name, value in kept.items())
    trained.sum().backward()
    scale = (kept["running_var"] + norm.eps).rsqrt()
    torch.testing.assert_close(one.grad.flatten(), scale)
