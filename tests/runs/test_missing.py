"""A teacher's predictions without some of its modalities."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from amid.core.checkpoint import read_checkpoint
from amid.core.types import RunRecord
from amid.data.splits import load_splits
from amid.runs.missing import mean_encoding, predict_subsets, teacher_logits
from amid.training.job import MODEL, TrainingJob
from amid.training.model_file import load_model
from amid.training.train import train
from tests.small import small_params, small_run, write_data

NAMES = ("audio", "text")
SUBSETS = [("video", *NAMES), ("video",), ("video", "text"), ("audio",), NAMES]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, RunRecord]:
    """Folder of the data, model file and record of a teacher with modality dropout."""
    place = tmp_path_factory.mktemp("missing")
    data = write_data(place / "avlips", modalities=NAMES)
    training = small_params().training.model_copy(
        update={"epochs": 3, "warmup_epochs": 1, "learning_rate": 0.01, "modality_dropout": 0.5}
    )
    run = small_run(data, "teacher_alone", auxiliary=NAMES, training=training)
    assert run.spec.training["modality_dropout"] == 0.5
    record = train(TrainingJob(run.spec, data, place / "run"))
    return data, place / "run" / MODEL, record


def test_with_all_modalities_it_predicts_what_its_record_says(trained) -> None:
    data, model, record = trained
    found = predict_subsets(record.spec, model, data, SUBSETS)
    assert found[0] == record.predictions["best"]["teacher"]
    assert len({tuple(one) for one in found}) == len(SUBSETS)  # each subset matters


def test_what_is_missing_has_no_effect_and_is_filled_as_said(trained) -> None:
    data, model, record = trained
    weights, card = read_checkpoint(model)
    networks = load_model(card, weights, model)
    splits = load_splits(data, record.spec)
    test, mean = splits.test, mean_encoding(networks, splits.train)
    with torch.no_grad():
        encoded = networks.student(test.target)
        torch.testing.assert_close(mean, networks.student(splits.train.target).mean(0))
        audio, text = (test.auxiliary[name] for name in NAMES)

        def logits(*parts: torch.Tensor) -> torch.Tensor:
            return networks.classifier(networks.teacher(torch.cat(parts, dim=1)))

        filled = {
            ("video", *NAMES): logits(encoded, audio, text),
            ("video", "text"): logits(encoded, 0 * audio, text),
            ("video",): logits(encoded, 0 * audio, 0 * text),
            NAMES: logits(mean.expand_as(encoded), audio, text),
            ("audio",): logits(mean.expand_as(encoded), audio, 0 * text),
        }
        for present, wanted in filled.items():
            found = teacher_logits(networks, test, "video", mean, present)
            torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(networks(test).teacher_logits, filled["video", *NAMES])
    assert not networks.student._forward_hooks  # the networks are as they were
