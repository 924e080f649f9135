"""Several auxiliary modalities: a saved model joins them in the order it was trained with, whatever
that is, wherever it is loaded; and a fixed teacher that is not what it was stops the run."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from amid import config
from amid.core.checkpoint import read_checkpoint, write_checkpoint
from amid.core.types import Batch, RunRecord, RunSpec
from amid.data.feature_store import FeatureStore
from amid.data.splits import load_splits, targets
from amid.errors import AmidError
from amid.extractors.frame_dct import Options
from amid.io.canonical_json import canonical_json
from amid.networks.crossmodal import CrossModal
from amid.report import exhibits
from amid.runs import embeddings
from amid.runs.plan import PlannedRun
from amid.runs.store import CHECKPOINT, MODEL
from amid.serving import student
from amid.training import train as training
from amid.training import trainer as trainer_module
from amid.training.job import TrainingJob
from amid.training.model_file import load_model
from amid.training.run_state import strip_prefix
from amid.training.trainer import Trainer
from tests.released import EXTRACT, release_small, write_clips
from tests.small import small_params, small_run, sum_all

MODALITIES = ("appearance", "audio", "text")  # all 16 wide: no shape tells one from another
ORDERS = list(itertools.permutations(MODALITIES))
SPLITS = ("train", "validation", "test")
DISTILLING = ("crd", "crcd", "fixed_teacher")
every_order = pytest.mark.parametrize("order", ORDERS, ids="-".join)
Said = dict[str, dict[str, Tensor]]  # of a split: T, F and their logits


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("data") / "avlips", modalities=MODALITIES)


def train(spec: RunSpec, data: Path, folder: Path, teacher: Path | None = None) -> RunRecord:
    folder.mkdir(parents=True, exist_ok=True)
    job = TrainingJob(spec, data, folder, teacher=teacher, checkpoint_every=9)
    return training.train(job)


def planned(data: Path, configuration: str, order: tuple[str, ...], epochs: int = 2) -> PlannedRun:
    """A run of so many epochs; its fixed teacher's are two."""
    run = small_run(data, configuration, auxiliary=order)
    teacher, spec = run.teacher, run.spec
    if teacher is not None:
        teacher = shortened(teacher, 2)
        spec = dataclasses.replace(spec, teacher=teacher.key)
    return dataclasses.replace(run, spec=shortened(spec, epochs), teacher=teacher)


def shortened(spec: RunSpec, epochs: int) -> RunSpec:
    return dataclasses.replace(spec, training={**spec.training, "epochs": epochs})


def trained(
    spec: RunSpec, data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[RunRecord, Said]:
    """A run's record, and what its trainer's own networks said at the best epoch, before anything
    of them was written."""
    said: Said = {}
    look = Trainer.test

    def test(
        trainer: Trainer,
    ) -> tuple:  # called at the last epoch, then at the best one
        for name in SPLITS:
            said[name] = trainer.evaluate(getattr(trainer.data, name))
        return look(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "test", test)
        record = train(spec, data, folder)
    return record, said


@every_order
def test_a_loaded_teacher_says_what_its_trainer_said(order, data, tmp_path, monkeypatch) -> None:
    run = planned(data, "teacher_alone", order)
    _, said = trained(run.spec, data, tmp_path, monkeypatch)
    weights, card = read_checkpoint(tmp_path / MODEL)
    assert card["auxiliary"] == [{"modality": name, "width": 16} for name in order]
    shared = json.loads(canonical_json(card))  # as processes that share the batches are sent it
    for given in (card, shared):
        loaded = load_model(given, weights)
        for name in SPLITS:
            batch = getattr(load_splits(data, run.spec), name)
            with torch.no_grad():
                reps = loaded(batch)
            assert torch.equal(reps.teacher, said[name]["teacher"])
            assert torch.equal(reps.teacher_logits, said[name]["teacher_logits"])


@every_order
def test_a_run_distils_what_its_fixed_teacher_said(order, data, tmp_path, monkeypatch) -> None:
    teacher = planned(data, "crd", order).teacher
    _, said = trained(teacher, data, tmp_path / "teacher", monkeypatch)
    distilled = []
    taught = trainer_module.attach_teacher_outputs

    def watched(*given) -> object:
        distilled.append(taught(*given))
        return distilled[-1]

    monkeypatch.setattr(trainer_module, "attach_teacher_outputs", watched)
    for configuration in DISTILLING:
        run = planned(data, configuration, order, epochs=1)
        assert run.teacher == teacher
        train(run.spec, data, tmp_path / configuration, tmp_path / "teacher" / MODEL)
    assert len(distilled) == len(DISTILLING)
    for splits, name in itertools.product(distilled, SPLITS):
        batch = getattr(splits, name)
        assert torch.equal(batch.teacher, said[name]["teacher"])
        assert torch.equal(batch.teacher_logits, said[name]["teacher_logits"])


@every_order
def test_all_that_is_made_of_a_run_is_made_of_its_own_networks(
    order, data, tmp_path, monkeypatch
) -> None:
    """T and F in the report's plane, the report's samples, frozen embeddings, a released student
    and the one that MLflow serves."""
    run = planned(data, "amid", order)
    record, said = trained(run.spec, data, tmp_path / "run", monkeypatch)
    model = tmp_path / "run" / MODEL
    store = FeatureStore.open(data / "features")
    test = said["test"]
    ranked = test["student_logits"].softmax(1).sort(1, descending=True)
    clips = dict(zip(record.clips, zip(*ranked, strict=True), strict=True))

    laid = []
    lay_out = exhibits.tsne_layout
    monkeypatch.setattr(
        exhibits, "tsne_layout", lambda v, *rest: laid.append(v) or lay_out(v, *rest)
    )
    chosen = config.Report(seed=0, points=len(record.labels), perplexity=5.0, samples=6)
    exhibits.tsne(record, tmp_path / "run" / CHECKPOINT, data, chosen)
    both = [test[head].double().numpy() for head in ("student", "teacher")]
    assert np.array_equal(laid[0], np.concatenate(both))

    block = small_params().dataset("avlips")
    extract = {**block.extract, "video": ("frame_dct", Options(**EXTRACT))}
    block = block.model_copy(update={"extract": extract})
    manifest = pd.read_parquet(data / "manifest.parquet")
    monkeypatch.setattr(exhibits, "guarded", lambda *_, **__: [])  # there are no films
    found, _ = exhibits.samples(
        {"amid": [record]}, {record.key: model}, block, store, manifest, data, chosen
    )
    assert len(found["clips"]) == 6
    for clip in found["clips"]:
        shares, places = clips[clip["id"]]
        for (label, share), number in zip(clip["ranked"], range(2), strict=True):
            assert label == record.classes[places[number]]
            assert share == pytest.approx(float(shares[number]), abs=1e-4)

    embeddings.freeze(record, model, store, tmp_path / "frozen")
    tensors, _ = read_checkpoint(tmp_path / "run" / CHECKPOINT)
    networks = Trainer(run.spec, load_splits(data, run.spec)).networks
    networks.load_state_dict(strip_prefix("best.networks", tensors))
    with torch.no_grad():
        everything = targets(store, "video", np.arange(len(store.index)))
        raw = networks.eval().student(everything).double().numpy()
    (tmp_path / "own").mkdir()
    embeddings._write(raw, "video", "train", store, tmp_path / "own")
    frozen, own = (tmp_path / name / "video.npy" for name in ("frozen", "own"))
    assert frozen.read_bytes() == own.read_bytes()

    # the exported files are of the same networks, and slow
    monkeypatch.setattr("amid.serving.export.export_in_fresh_process", lambda *_: False)
    released = release_small(tmp_path / "released", data, {"amid": [record]}, {record.key: model})
    features = load_splits(data, run.spec).test.target.numpy()
    probabilities, representations = student.load(released).run(features)
    assert np.array_equal(representations, test["student"].numpy())
    assert np.array_equal(probabilities, test["student_logits"].softmax(1).numpy())

    from amid.serving.mlflow_model import StudentModel

    served = StudentModel()
    served.load_context(SimpleNamespace(artifacts={"student": str(released)}))
    answers = served.predict(None, pd.DataFrame({"video": list(features)}))
    for answer, clip in zip(answers, record.clips, strict=True):
        shares, places = clips[clip]
        assert answer["label"] == record.classes[places[0]]
        assert answer["probability"] == pytest.approx(float(shares[0]), abs=1e-6)


def networks_of(order: tuple[str, ...]) -> CrossModal:
    small = small_params().network.model_dump()
    return CrossModal(
        trains=("student", "auxiliary", "teacher"),
        classes=4,
        target_shape=(8, 6),
        auxiliary_dims=dict.fromkeys(order, 16),
        network={**small, "encoder": "gru"},
        seed=0,
    ).eval()


@every_order
def test_the_order_of_a_batch_changes_nothing(order, data) -> None:
    batch = load_splits(data, planned(data, "amid", MODALITIES).spec).validation
    networks = networks_of(order)
    with torch.no_grad():
        first = networks(batch)
        joined = torch.cat([batch.auxiliary[name] for name in order], dim=1)
        assert torch.equal(first.auxiliary, networks.join(joined))
        for other in ORDERS:
            mixed = {name: batch.auxiliary[name] for name in other}
            reps = networks(dataclasses.replace(batch, auxiliary=mixed))
            assert torch.equal(reps.auxiliary, first.auxiliary)
            assert torch.equal(reps.teacher_logits, first.teacher_logits)
            assert tuple(reps.modalities) == order


@pytest.mark.parametrize("given", [{"audio": 16, "text": 16}, dict.fromkeys(MODALITIES, 8), {}])
def test_a_batch_that_lacks_a_modality_is_refused(given: dict[str, int]) -> None:
    none = torch.zeros(2, dtype=torch.int64)
    widths = {name: torch.zeros(2, width) for name, width in given.items()}
    with pytest.raises(AmidError, match=r"join the auxiliary modalities appearance \(16 wide\), "):
        networks_of(MODALITIES)(Batch(torch.zeros(2, 8, 6), widths, none, none))


def rewritten(path: Path, **changes: object) -> Path:
    """The model with another card, as whoever wrote that one would have left it."""
    weights, card = read_checkpoint(path)
    write_checkpoint(path, weights, {**card, **changes})
    return path


@pytest.fixture
def distilling(data: Path, tmp_path: Path) -> tuple[RunSpec, Path]:
    """A run that distils a fixed teacher of three modalities, and the teacher's model."""
    run = planned(data, "crd", MODALITIES, epochs=1)
    train(run.teacher, data, tmp_path / "teacher")
    return run.spec, tmp_path / "teacher" / MODEL


def test_a_model_that_does_not_tell_its_order_is_refused(data, distilling, tmp_path) -> None:
    spec, path = distilling
    rewritten(path, auxiliary=dict.fromkeys(MODALITIES, 16))
    words = rf"^{path} \(run {spec.teacher}\) does not tell in which order .* train that run again"
    with pytest.raises(AmidError, match=words):
        train(spec, data, tmp_path / "run", path)
    weights, card = read_checkpoint(path)
    with pytest.raises(AmidError, match=r"^The model \(run .* \(appearance, audio, text\)"):
        load_model(card, weights)
    alone = planned(data, "student_alone", ()).spec
    record = train(alone, data, tmp_path / "student")
    model = rewritten(tmp_path / "student" / MODEL, auxiliary={"text": 16, "audio": 16})
    store = FeatureStore.open(data / "features")
    with pytest.raises(AmidError, match="does not tell in which order"):
        embeddings.freeze(record, model, store, tmp_path / "frozen")
    with pytest.raises(AmidError, match="does not tell in which order"):
        release_small(tmp_path / "released", data, {"alone": [record]}, {record.key: model})


@pytest.mark.parametrize("order", [(), ("audio",)])
def test_a_model_of_an_earlier_version_is_read_where_there_is_no_doubt(
    order, data, tmp_path, monkeypatch
) -> None:
    run = planned(data, "teacher_alone" if order else "student_alone", order)
    _, said = trained(run.spec, data, tmp_path, monkeypatch)
    path = rewritten(tmp_path / MODEL, auxiliary=dict.fromkeys(order, 16))
    weights, card = read_checkpoint(path)
    with torch.no_grad():
        reps = load_model(card, weights, path)(load_splits(data, run.spec).test)
    head = "teacher" if order else "student"
    assert torch.equal(getattr(reps, f"{head}_logits"), said["test"][f"{head}_logits"])


def test_a_model_tells_how_often_it_was_right_on_validation(data, tmp_path) -> None:
    for configuration, head in (("teacher_alone", "teacher"), ("amid", "student")):
        folder = tmp_path / configuration
        record = train(planned(data, configuration, MODALITIES).spec, data, folder)
        _, card = read_checkpoint(folder / MODEL)
        right = record.history[record.best_epoch][f"validation_{head}"]
        assert card["validation"] == {head: right}


def test_a_teacher_with_other_weights_stops_the_run(data, distilling, tmp_path) -> None:
    spec, path = distilling
    weights, card = read_checkpoint(path)
    weights["classifier.weight"] *= -1
    write_checkpoint(path, weights, card)
    told = card["validation"]["teacher"]
    with pytest.raises(AmidError) as refused:
        train(spec, data, tmp_path / "run", path)
    sentence = str(refused.value)
    assert sentence.startswith(f"run {spec.key} (crd on avlips, seed 0) cannot be trained: ")
    assert f"teacher, run {spec.teacher}, is right about " in sentence
    assert f"{path} tells of {100 * told:.2f} %; delete the folder {path.parent} " in sentence
    assert "\n" not in sentence
    assert not (tmp_path / "run" / MODEL).exists()


def test_a_teacher_that_joins_its_modalities_in_another_order_stops_the_run(tmp_path) -> None:
    data = write_clips(tmp_path / "avlips", modalities=MODALITIES)
    for number, name in enumerate(MODALITIES):  # each has its own way to tell the classes apart
        path = data / "embeddings" / f"{name}.npy"
        np.save(path, np.roll(np.load(path, allow_pickle=False), number, axis=1))
    sum_all(data / "embeddings")
    run = small_run(data, "crd", auxiliary=MODALITIES)
    train(run.teacher, data, tmp_path / "teacher")
    path = tmp_path / "teacher" / MODEL
    _, card = read_checkpoint(path)
    rewritten(path, auxiliary=card["auxiliary"][::-1])
    with pytest.raises(AmidError, match=r"is right about .* of the validation clips, but"):
        train(run.spec, data, tmp_path / "run", path)


def test_a_teacher_may_be_right_about_one_clip_more_or_less(data, distilling, tmp_path) -> None:
    spec, path = distilling
    _, card = read_checkpoint(path)
    told = card["validation"]["teacher"]  # of 24 clips
    away = -1 if told > 0.5 else 1
    train(spec, data, tmp_path / "one", rewritten(path, validation={"teacher": told + away / 24}))
    rewritten(path, validation={"teacher": told + 2 * away / 24})
    with pytest.raises(AmidError, match=r"is right about .* validation clips, but its model"):
        train(spec, data, tmp_path / "two", path)
    rewritten(path, validation={})
    with pytest.raises(AmidError, match=r"model\.safetensors tells of none; delete the folder"):
        train(spec, data, tmp_path / "none", path)


def test_the_teacher_of_another_run_is_refused(data, distilling, tmp_path) -> None:
    spec, path = distilling
    other = small_run(data, "crd", seed=1, auxiliary=MODALITIES)
    with pytest.raises(AmidError) as refused:
        train(other.spec, data, tmp_path / "run", path)
    words = f"teacher is run {other.spec.teacher}, but {path} is the model of run {spec.teacher};"
    assert words in str(refused.value)


def test_without_validation_clips_there_is_nothing_to_compare(tmp_path) -> None:
    data = write_clips(tmp_path / "avlips", modalities=MODALITIES)
    path = data / "features" / "index.parquet"
    index = pd.read_parquet(path)
    index.loc[index["split"] == "validation", "split"] = "train"
    index.to_parquet(path, index=False)
    sum_all(data / "features")
    run = planned(data, "crd", MODALITIES, epochs=1)
    train(run.teacher, data, tmp_path / "teacher")
    model = tmp_path / "teacher" / MODEL
    assert read_checkpoint(model)[1]["validation"] == {}
    train(run.spec, data, tmp_path / "run", model)


def test_a_fold_has_the_teacher_of_that_fold(data, tmp_path) -> None:
    run = planned(data, "crd", MODALITIES, epochs=1)
    for fold in (0, 1):
        teacher = dataclasses.replace(run.teacher, fold=fold)
        spec = dataclasses.replace(run.spec, fold=fold, teacher=teacher.key)
        train(teacher, data, tmp_path / f"teacher{fold}")
        train(spec, data, tmp_path / f"run{fold}", tmp_path / f"teacher{fold}" / MODEL)
    with pytest.raises(AmidError, match=r"but .* is the model of run"):
        train(spec, data, tmp_path / "mixed", tmp_path / "teacher0" / MODEL)
