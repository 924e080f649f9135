"""Two checkouts that part are told apart by run, metric and epoch."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from amid.core.types import RunRecord, RunSpec
from amid.errors import AmidError
from amid.maintenance.run_diff import compare
from tests.small import ROOT

HISTORY = [{"train_loss": 3.0 - epoch, "validation_student": 0.5} for epoch in range(3)]
SPEC = RunSpec("avlips", "amid", {"gamma": 1.0}, "video", ("audio",), {}, {}, 0, None, "train",
               "features", "code")  # fmt: skip
RECORD = RunRecord(SPEC, HISTORY, 1, "student", {"best": {"student": [0, 1]}}, ["a", "b"], [0, 1],
                   ["one", "two"])  # fmt: skip


def write(folder: Path, run: str, record: RunRecord = RECORD, model: bytes = b"weights") -> Path:
    place = folder / "runs" / "amid" / run
    place.mkdir(parents=True)
    (place / "record.json").write_text(record.to_json())
    (place / "model.safetensors").write_bytes(model)
    return folder


def changed(epoch: int, metric: str, value: float) -> RunRecord:
    history = [dict(metrics) for metrics in HISTORY]
    history[epoch][metric] = value
    return replace(RECORD, history=history)


def told(tmp_path: Path, record: RunRecord = RECORD, model: bytes = b"weights") -> str:
    one = write(tmp_path / "one", "seed0")
    _, differences = compare(one, write(tmp_path / "other", "seed0", record, model))
    return "\n".join(map(str, differences))


def test_the_same_runs_do_not_differ(tmp_path) -> None:
    assert told(tmp_path) == ""


def test_the_earliest_metric_is_named_with_its_epoch(tmp_path) -> None:
    text = told(tmp_path, changed(1, "validation_student", 0.25))
    assert text == "amid/seed0: epoch 2, validation_student: 0.5 and 0.25"


def test_a_difference_of_one_bit_is_found(tmp_path) -> None:
    assert "epoch 3, train_loss" in told(tmp_path, changed(2, "train_loss", 1.0 + 2**-52))


def test_a_metric_that_one_side_lacks(tmp_path) -> None:
    assert "epoch 1, eta: null and 0.5" in told(tmp_path, changed(0, "eta", 0.5))


def test_predictions_and_weights_come_after_training(tmp_path) -> None:
    other = replace(RECORD, predictions={"best": {"student": [1, 1]}})
    assert "after training, predictions" in told(tmp_path / "a", other)
    assert "after training, sha256 of model.safetensors" in told(tmp_path / "b", model=b"others")


def test_specifications_that_differ_are_named(tmp_path) -> None:
    spec = replace(SPEC, options={"gamma": 1.1})
    alone = told(tmp_path / "a", replace(RECORD, spec=spec))
    assert "before training, options.gamma: 1.0 and 1.1" in alone
    both = told(tmp_path / "b", replace(changed(1, "train_loss", 9.0), spec=spec))
    assert "epoch 2, train_loss: 2.0 and 9.0" in both
    assert "differ in options.gamma" in both


def test_runs_are_listed_by_epoch_and_missing_ones_first(tmp_path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for run, record in {
        "a": changed(2, "train_loss", 9.0),
        "b": changed(0, "train_loss", 9.0),
    }.items():
        write(one, run)
        write(other, run, record)
    write(one, "c")
    write(one, "d")
    write(other, "d")
    count, found = compare(one, other)
    assert count == 4
    assert [d.run for d in found] == ["amid/c", "amid/b", "amid/a"]


def test_a_folder_without_runs(tmp_path) -> None:
    with pytest.raises(AmidError, match="holds no runs"):
        compare(tmp_path, tmp_path)


@pytest.mark.slow
def test_the_command(tmp_path, warm: Path) -> None:
    one = write(tmp_path / "one", "seed0")
    other = write(tmp_path / "other", "seed0", changed(1, "train_loss", 9.0))

    def run(*folders: Path) -> subprocess.CompletedProcess:
        command = [warm / "python", "-m", "stages.compare", *map(str, folders)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    same, differing, wrong = run(one, one), run(one, other), run(one, tmp_path / "nowhere")
    assert (same.returncode, differing.returncode, wrong.returncode) == (0, 1, 1)
    assert "all 1 runs are the same" in same.stdout
    assert "first: amid/seed0: epoch 2, train_loss: 2.0 and 9.0" in differing.stdout
    assert "Traceback" not in wrong.stderr
