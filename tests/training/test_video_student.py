"""The video student trained end to end on a cache of frames: engine, warm-up, resume, release."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from amid.core.video_clips import Clips
from amid.data.splits import load_splits
from amid.errors import Stopped
from amid.serving import student
from amid.serving.export import Deployed
from amid.training.trainer import Trainer
from tests.datasets.test_paper_data import LABELS, run, ucf51
from tests.media.clips import activity, write_avi
from tests.params import put_params, read_params
from tests.sharing import write_films
from tests.small import ROOT, small_run
from tests.training.test_trainer import Wholes, left_by, stopping_after, train, wholes

SMALL = {"blocks": 1, "width": 4, "window": 4, "size": 16}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_films(tmp_path_factory.mktemp("data") / "avlips")


def spec(data: Path, configuration: str = "amid", **training: object):
    run = small_run(data, configuration)
    network = {**run.spec.network, "encoder": "r2plus1d", "r2plus1d": SMALL}
    numbers = {**run.spec.training, "epochs": 3, "learning_rate": 0.003, "milestones": []}
    numbers |= training  # the milestones of the small run are of its own number of epochs
    options = {**run.spec.options}
    if "warmup_epochs" in options:
        options["warmup_epochs"] = 1
    return dataclasses.replace(run.spec, network=network, training=numbers, options=options)


@pytest.mark.slow
def test_it_learns_from_frames(data: Path, tmp_path: Path) -> None:
    record = train(spec(data, epochs=12), data, tmp_path)
    assert record.history[-1]["train_loss"] < record.history[0]["train_loss"]
    assert record.accuracy("student") > 0.5  # 4 classes
    assert record.retrieval["best"]["r@1"] > 0.5


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Wholes:
    return wholes(lambda name: spec(data, name), data, tmp_path_factory)


@pytest.mark.slow
@pytest.mark.parametrize("batches", [2, 8, 11])
def test_it_goes_on_from_any_batch(batches: int, whole, data: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(spec(data), data, tmp_path / "cut", stop=stopping_after(batches))
    resumed = train(spec(data), data, tmp_path / "cut")
    assert left_by(resumed, tmp_path / "cut") == whole("amid")


def test_parts_and_mixed_precision_train_too(data: Path, tmp_path: Path) -> None:
    one = spec(data, activation_chunks=2, precision="bfloat16")
    record = train(one, data, tmp_path)
    assert record.history[-1]["train_loss"] < record.history[0]["train_loss"]


def test_a_clip_is_judged_by_the_mean_over_its_windows(data: Path) -> None:
    one = spec(data)
    trainer = Trainer(one, load_splits(data, one))
    batch = trainer.data.test.take(torch.arange(5))
    assert isinstance(batch.target, Clips)
    found = trainer.evaluate(batch)
    for row in range(5):
        windows, _ = batch.take(torch.tensor([row])).target.windows(SMALL["window"])
        with torch.no_grad():
            encoded = trainer.networks.student(windows.pictures(4, 16))  # (W, D)
            said = trainer.networks.classifier(trainer.networks._normalize(encoded)).softmax(1)
        torch.testing.assert_close(found["student_logits"][row].softmax(0), said.mean(0))


def test_a_fixed_teacher_of_videos_says_one_thing_a_clip(data: Path, tmp_path: Path) -> None:
    teacher = spec(data, "teacher_alone")
    train(teacher, data, tmp_path / "teacher")
    model = tmp_path / "teacher" / "model.safetensors"
    distilling = dataclasses.replace(spec(data, "crd"), teacher=teacher.key)
    record = train(distilling, data, tmp_path / "student", teacher=model)
    assert record.history[-1]["train_loss"] < record.history[0]["train_loss"]


@pytest.mark.slow(seconds=25)
def test_from_videos_to_a_student_that_answers(tmp_path: Path, warm: Path) -> None:
    """UCF101's layout, frames, R(2+1)D, Table 1, a released student asked about a silent film."""
    python = warm / "python"
    source = tmp_path / "source"
    source.mkdir()
    ucf51(source)
    values = read_params()
    block = values["data"]["ucf51"]
    block["options"] |= {"recordings": str(source), "validation": 0.25}
    block["extract"]["video"] = {"extractor": "frames", "size": [20, 27]}
    block.setdefault("encoders", {})["video"] = "r2plus1d"
    values["network"]["r2plus1d"] |= SMALL
    values["network"]["dim"] = 32
    values["datasets"], values["seeds"] = ["ucf51"], [0]
    values["table1"] = ["student_alone", "ccl", "amid"]
    values["student"]["configurations"] = ["student_alone", "amid"]
    values["training"] |= {
        "epochs": 2,
        "warmup_epochs": 1,
        "batch_size": 12,
        "activation_chunks": 2,
    }
    put_params(tmp_path, values)
    stages = (
        "download",
        "extract",
        "auxiliary",
        "train baselines",
        "train compared",
        "train warmup",
    )
    for stage in (*stages, "train amid"):
        run(python, tmp_path, *f"stages.{stage} ucf51".split())
    run(python, tmp_path, "stages.table", "table1")
    table = pd.read_csv(tmp_path / "reports" / "table1.csv").set_index("configuration")
    assert table["student"].between(0, 100).all()
    record = tmp_path / "runs" / "baselines" / "ucf51" / "student_alone" / "seed0" / "record.json"
    first, last = (epoch["train_loss"] for epoch in json.loads(record.read_text())["history"])
    assert last < first
    run(python, tmp_path, "stages.student", "ucf51")
    model = student.load(tmp_path / "student" / "ucf51")
    windows = torch.randint(0, 256, (3, 4, 16, 16, 3)).to(torch.uint8)
    program = torch.export.load(model.folder / "program.pt2").module()
    with torch.no_grad():
        for ours, theirs in zip(Deployed(model.networks)(windows), program(windows), strict=True):
            torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=0)
    film = tmp_path / "silent.avi"
    write_avi(film, activity(0, 1)[0], None)
    told = subprocess.run(
        [sys.executable, "-m", "amid.predict", str(film), "--json", "--neighbours", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    (answer,) = json.loads(told.stdout)
    assert set(answer["probabilities"]) == set(LABELS)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert len(answer["neighbours"]) == 2
