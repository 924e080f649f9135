"""The stage `student`: chosen on validation, whole, the same bytes again, and usable without us."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from amid.core.checkpoint import read_checkpoint
from amid.core.types import RunRecord
from amid.data.splits import load_splits
from amid.errors import AmidError, ConfigError
from amid.networks.crossmodal import CrossModal
from amid.serving import student
from amid.serving.choice import choose, validation
from amid.serving.export import (
    Deployed,
    export_onnx,
    export_program,
    trace,
)
from amid.serving.model_card import front_matter, model_card
from amid.studies import load_params
from amid.training.model_file import load_model
from tests.campaigns.exports import differences
from tests.recorded import record
from tests.released import CONFIGURATIONS, found_runs, made_student, release_small, train
from tests.small import ROOT, small_params
from tests.stages.test_mistakes import refused, stage, write_params

PICKLE = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
FILES = {"card.json", "model.safetensors", "program.pt2", "training.npy", "training.parquet"}
FILES |= {"README.md", "student.onnx"}

Runs = tuple[dict[str, list[RunRecord]], dict[str, Path]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    made_student(folder)
    return folder


@pytest.fixture(scope="module")
def data(place: Path) -> Path:
    return place / "data" / "avlips"


@pytest.fixture(scope="module")
def runs(place: Path) -> Runs:
    return found_runs(place / "runs")


@pytest.fixture(scope="module")
def made(place: Path) -> Path:
    return place / "student" / "avlips"


@pytest.fixture(scope="module")
def again(data: Path, runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second release, in a process that cannot trace networks itself."""
    with pytest.MonkeyPatch.context() as context:
        context.setattr("amid.serving.export.trace", None)
        return release_small(tmp_path_factory.mktemp("again") / "elsewhere", data, *runs)


def run_of(validated: float, tested: int, seed: int = 0) -> RunRecord:
    history = [{"validation_student": validated}]
    return record({"student": tested}, seed, history=history, best_epoch=0)


def test_validation_chooses_and_the_test_split_has_no_say() -> None:
    offered = {
        "ccl": [run_of(0.70, 50, 0), run_of(0.72, 49, 1)],
        "amid": [run_of(0.75, 10, 0), run_of(0.71, 50, 1)],
    }
    configuration, run = choose(offered)
    assert (configuration, run.spec.seed) == ("amid", 0)
    assert run.accuracy("student") == 0.2  # the worst of all on test


def test_of_equals_the_first_is_taken() -> None:
    offered = {"ccl": [run_of(0.7, 1, 0), run_of(0.7, 9, 1)], "amid": [run_of(0.7, 9, 0)]}
    configuration, run = choose(offered)
    assert (configuration, run.spec.seed) == ("ccl", 0)


def test_the_epoch_that_counts_is_the_one_that_the_run_chose() -> None:
    history = [{"validation_student": 0.6}, {"validation_student": 0.9}]
    assert validation(record({"student": 5}, history=history, best_epoch=0)) == 0.6


def test_without_validation_clips_it_is_the_first_run() -> None:
    alone = [record({"student": 1}, seed, history=[{}], best_epoch=0) for seed in (0, 1)]
    assert choose({"ccl": alone}) == ("ccl", alone[0])


def test_a_configuration_without_a_student_is_named() -> None:
    teacher = record({"teacher": 9}, selected_on="teacher")
    with pytest.raises(AmidError, match=r"'teacher_alone', which trains no student"):
        choose({"amid": [run_of(0.7, 1)], "teacher_alone": [teacher]})


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (["amdi"], "did you mean 'amid'"),
        (["amid", "amid"], "names a value twice"),
    ],
)
def test_configurations_that_cannot_be_chosen_are_named(named, words, tmp_path: Path) -> None:
    def change(values) -> None:
        values["student"]["configurations"] = named

    write_params(tmp_path, change)
    with pytest.raises(ConfigError, match=words):
        load_params(tmp_path / "params.yaml")


@pytest.mark.usefixtures("warm")
def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_params(tmp_path, lambda values: None)
    refused(stage(tmp_path, "stages.student", "avlips"), 1, "record.json is missing", "dvc repro")


def test_the_folder_holds_what_the_card_says(made: Path) -> None:
    assert {path.name for path in made.iterdir()} == FILES
    text = (made / "card.json").read_text()
    assert str(ROOT) not in text
    card = json.loads(text)
    assert card["classes"] == ["blue", "green", "red", "white"]
    assert (card["dataset"], card["target"]) == ("avlips", "video")
    assert (card["input"]["extractor"], card["input"]["shape"]) == ("frame_dct", [8, 6])
    assert card["output"] == {"probabilities": 4, "representation": 16}
    among, training = card["chosen"]["among"], card["training"]
    assert set(among) == set(CONFIGURATIONS)
    best = max(value for seeds in among.values() for value in seeds.values())
    assert among[training["configuration"]][str(training["seed"])] == best
    assert card["metrics"]["run"]["validation_top1"] == best
    spread = card["metrics"]["configuration"]["validation_top1"]
    values = list(among[training["configuration"]].values())
    assert spread["mean"] == pytest.approx(np.mean(values), abs=1e-3)
    assert spread["std"] == pytest.approx(np.std(values, ddof=1), abs=1e-3)
    assert spread["seeds"] == 2


def test_the_index_is_of_all_training_clips(made: Path, data: Path) -> None:
    clips = pd.read_parquet(made / "training.parquet")
    index = pd.read_parquet(data / "features" / "index.parquet")
    train_rows = index[index["split"] == "train"]
    assert clips["id"].tolist() == train_rows["id"].tolist()
    assert clips["label"].tolist() == train_rows["label"].tolist()
    assert clips["path"][0] == "data/avlips/raw/clip000.avi"
    model = student.load(made)
    features = np.load(data / "features" / "video.npy", allow_pickle=False)[train_rows.index]
    assert np.array_equal(
        np.load(made / "training.npy", allow_pickle=False), model.represent(features)
    )
    assert json.loads((made / "card.json").read_text())["training"]["clips"] == len(clips)


def test_the_student_says_of_the_test_clips_what_its_run_said(
    made: Path, data: Path, runs: Runs
) -> None:
    model = student.load(made)
    key = model.card["training"]["run"]
    run = next(run for records in runs[0].values() for run in records if run.key == key)
    target = load_splits(data, run.spec).test.target.numpy()
    assert model.classify(target).argmax(1).tolist() == run.predictions["best"]["student"]


@pytest.mark.parametrize("configuration", ["crd", "gmc", "ccl", "crcd", "fixed_teacher"])
def test_the_student_of_every_method_serves_as_it_was_tested(
    configuration: str, data: Path, tmp_path: Path
) -> None:
    run, model = train(configuration, 0, data, tmp_path)
    weights, network = read_checkpoint(model)
    target = load_splits(data, run.spec).test.target
    with torch.no_grad():
        probabilities, _ = Deployed(load_model(network, weights))(target)
    assert probabilities.argmax(1).tolist() == run.predictions["best"]["student"]


def test_the_exported_files_give_the_networks_numbers(made: Path) -> None:
    """At any number of clips and of steps, though all clips of the data set have 8 steps; and as
    plain arrays, without a gradient to cut off."""
    program = torch.export.load(made / "program.pt2").module()
    session = onnxruntime.InferenceSession(made / "student.onnx")
    model = student.load(made)
    for batch, steps in ((1, 8), (2, 3), (7, 40), (300, 8)):
        features = np.random.default_rng(batch).normal(size=(batch, steps, 6)).astype(np.float32)
        with torch.no_grad():
            expected = Deployed(model.networks)(torch.from_numpy(features))
        by_torch = [found.numpy() for found in program(torch.from_numpy(features))]
        by_onnx = session.run(["probabilities", "representations"], {"features": features})
        for found in (by_torch, by_onnx):
            for ours, theirs in zip(expected, found, strict=True):
                assert np.abs(ours.numpy() - theirs).max() <= 1e-5
        if steps == 8:
            assert np.abs(by_onnx[0] - model.classify(features)).max() <= 1e-5


@pytest.mark.slow
def test_the_files_are_exported_in_a_process_of_their_own(made: Path, again: Path) -> None:
    """Where nothing was traced before: the process that releases has no part in it."""
    for name in ("program.pt2", "student.onnx"):
        assert (again / name).read_bytes() == (made / name).read_bytes()


@pytest.mark.slow
def test_the_exported_files_agree_with_torch_on_real_recordings(
    made: Path, shared: Path, tmp_path: Path
) -> None:
    """On 100 of GRID's, at the length of the export's data set and at others."""
    with zipfile.ZipFile(shared / "data" / "grid" / "s1.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".mpg"))[:100]
        files = [archive.extract(name, tmp_path) for name in names]
    found = differences(made, files, (3, 8, 40))
    assert len(files) == 100
    assert len(found) == 2 * 3
    assert max(found.values()) <= 1e-5


VIDEO = {"blocks": 1, "width": 4, "window": 4, "size": 16}


def networks(encoder: str, shape: tuple[int | None, ...], directions: bool = False) -> CrossModal:
    return CrossModal(
        trains=("student",),
        classes=4,
        target_shape=shape,
        auxiliary_dims={},
        network={**small_params().network.model_dump(), "encoder": encoder, "r2plus1d": VIDEO},
        seed=0,
        normalize_representations=directions,
    ).eval()


@cache
def exported(encoder: str, shape: tuple[int | None, ...], directions: bool = False):
    """Networks, and their program as a .pt2 and as an .onnx file."""
    made = networks(encoder, shape, directions)
    program = trace(made, shape)
    return made, export_program(program), export_onnx(program)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "shape", "lengths", "directions"),
    [
        ("cnn", (12, 10), (12, 5, 90), False),
        ("cnn", (None, 10), (12, 5, 90), False),
        ("mlp", (10,), (), False),
        ("gru", (8, 6), (8, 1, 90), True),
        ("gru", (None, 6), (8, 1, 90), False),
        ("resnet", (None, 6), (12, 9, 90), False),
        ("transformer", (None, 6), (8, 1, 90), False),
        ("r2plus1d", (4, 16, 16, 3), (), False),
    ],
)
def test_every_encoder_can_be_exported_with_its_length_free(
    encoder: str, shape: tuple, lengths: tuple[int, ...], directions: bool, tmp_path: Path
) -> None:
    made, program, onnx = exported(encoder, shape, directions)
    (tmp_path / "program.pt2").write_bytes(program)
    loaded = torch.export.load(tmp_path / "program.pt2").module()
    session = onnxruntime.InferenceSession(onnx)
    named = session.get_inputs()[0].shape
    assert named == (["batch", "steps", shape[1]] if lengths else ["batch", *shape])
    for count, steps in enumerate(lengths or (None,), start=1):
        sizes = shape if steps is None else (steps, *shape[1:])
        features = torch.randn(count, *sizes, generator=torch.Generator().manual_seed(count))
        if encoder == "r2plus1d":
            features = (40 * features + 128).clamp(0, 255).to(torch.uint8)
        with torch.no_grad():
            expected = Deployed(made)(features)
        by_onnx = map(torch.from_numpy, session.run(None, {"features": features.numpy()}))
        for found in (loaded(features), by_onnx):
            for ours, theirs in zip(expected, found, strict=True):
                assert not theirs.requires_grad
                assert (ours - theirs).abs().max() <= 1e-5


def test_a_network_on_windows_of_a_video_is_exported_for_films_of_any_length() -> None:
    made = networks("r2plus1d", (None, 20, 27, 3), False)
    program = trace(made, (None, 20, 27, 3)).module()
    windows = torch.randint(0, 256, (3, 4, 16, 16, 3)).to(torch.uint8)
    with torch.no_grad():
        for ours, theirs in zip(Deployed(made)(windows), program(windows), strict=True):
            assert (ours - theirs).abs().max() <= 1e-5


@pytest.mark.slow
def test_an_export_depends_on_nothing_that_was_exported_before() -> None:
    _, *first = exported("gru", (8, 6), True)
    exported("cnn", (12, 10))
    program = trace(networks("gru", (8, 6), True), (8, 6))
    assert [export_program(program), export_onnx(program)] == first


class OfOneLength(torch.nn.Module):
    """An encoder of somebody's own that torch can trace for one number of steps only."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(8 * 6, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1))


def test_an_encoder_of_one_length_is_exported_for_that() -> None:
    made = networks("gru", (8, 6))
    made.student = OfOneLength()
    features = torch.randn(3, 8, 6)
    program = trace(made, (8, 6))
    with torch.no_grad():
        expected = Deployed(made)(features)
    session = onnxruntime.InferenceSession(export_onnx(program))
    assert session.get_inputs()[0].shape == ["batch", 8, 6]
    for ours, theirs in zip(
        expected, session.run(None, {"features": features.numpy()}), strict=True
    ):
        assert np.abs(ours.numpy() - theirs).max() <= 1e-5
    assert trace(made, (None, 6)) is None


def test_the_model_card_is_what_the_hub_reads(made: Path) -> None:
    text = (made / "README.md").read_text()
    head, front, body = text.split("---\n", 2)
    assert head == ""
    found = YAML(typ="safe").load(front)
    card = json.loads((made / "card.json").read_text())
    assert (found["license"], found["pipeline_tag"]) == ("mit", "video-classification")
    assert {"knowledge-distillation", card["training"]["method"], "onnx"} <= set(found["tags"])
    (model,) = found["model-index"]
    (result,) = model["results"]
    assert model["name"] == "amid-avlips-student"
    assert result["task"] == {"type": "video-classification"}
    assert result["dataset"] == {"name": "avlips", "type": "avlips", "split": "test"}
    top1, *others = result["metrics"]
    spread = card["metrics"]["configuration"]["test_top1"]
    assert top1 == {
        "type": "accuracy",
        "name": f"Top-1, mean of 2 seeds ± {spread['std']:.1f}",
        "value": spread["mean"],
        "args": {"standard_deviation": spread["std"], "seeds": 2, "unit": "per cent"},
    }
    assert [metric["type"] for metric in others][:2] == ["recall_at_1", "recall_at_5"]
    assert f"| Top-1 | {spread['mean']:.1f} | {spread['std']:.1f} |" in body
    for heading in ("Intended use", "Limits", "Metrics", "Licence"):
        assert f"\n## {heading}\n" in body
    assert "onnxruntime.InferenceSession" in body
    hub = pytest.importorskip("huggingface_hub", reason="requirements-paper.txt")
    assert hub.ModelCard(text).data.eval_results[0].metric_value == spread["mean"]


def test_a_card_of_foreign_data_states_no_licence_of_the_weights(made: Path) -> None:
    card = json.loads((made / "card.json").read_text())
    card |= {"dataset": "mine", "classes": ["a`b\nc", *map(str, range(40))]}
    card["input"]["extractor"] = "features"
    card["metrics"]["configuration"]["test_top1"] |= {"std": None, "seeds": 1}
    del card["load"]["onnx"]
    found = front_matter(card)
    assert found["license"] == "other"
    assert found["license_link"] == "README.md#licence"
    assert "pipeline_tag" not in found
    assert "onnx" not in found["tags"]
    assert found["model-index"][0]["results"][0]["metrics"][0]["name"] == "Top-1, one seed"
    body = model_card(card)
    assert "`ab\\nc`, `0`" in body
    assert "and 11 more" in body
    assert "onnxruntime" not in body


@pytest.mark.slow
def test_the_exported_program_runs_where_this_project_is_not(made: Path, tmp_path: Path) -> None:
    shutil.copy(made / "program.pt2", tmp_path)
    code = (
        "import sys, torch; p = torch.export.load('program.pt2').module();"
        "print([list(x.shape) for x in p(torch.zeros(3, 8, 6))]);"
        "assert not [m for m in sys.modules if m.startswith('amid')]"
    )
    command = [sys.executable, "-W", "ignore", "-P", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[[3, 4], [3, 16]]"


def test_nothing_in_the_folder_is_a_pickle(made: Path) -> None:
    for path in made.iterdir():
        assert not path.read_bytes().startswith(PICKLE), path
    assert str(ROOT).encode() not in (made / "student.onnx").read_bytes()
    with zipfile.ZipFile(made / "program.pt2") as archive:
        for name in archive.namelist():
            content = archive.read(name)
            assert not content.startswith((*PICKLE, b"PK")), name
            assert str(ROOT).encode() not in content, name
    np.load(made / "training.npy", allow_pickle=False)


@pytest.mark.slow
def test_a_second_release_has_the_same_bytes(made: Path, again: Path) -> None:
    for name in FILES:
        assert (again / name).read_bytes() == (made / name).read_bytes(), name
