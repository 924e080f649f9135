"""The pairs of a run: which are wrong, and what cannot be paired in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from amid.contrastive.pairs import PairBatch, StoredRows, _load, load_pairs, mismatch
from amid.errors import AmidError
from tests.pairs import COUNTS, change_index, small_pair_run, write_pairs


@pytest.fixture
def data(tmp_path: Path) -> Path:
    _load.cache_clear()
    return write_pairs(tmp_path / "avsentences")


def whole(split: PairBatch) -> dict[str, torch.Tensor]:
    return split.take(torch.arange(len(split))).features


def test_features_of_equal_shape_stay_in_their_file_until_they_are_taken(data: Path) -> None:
    spec = small_pair_run(data, mismatch_ratio=0.25).spec
    found = load_pairs(data, spec).train
    stored = np.load(data / "features" / "text.npy", allow_pickle=False)
    source = mismatch(COUNTS["train"], 0.25)
    for values in found.features.values():
        assert isinstance(values, StoredRows)
        assert isinstance(values.array, np.memmap)
    rows = torch.tensor([40, 3, 3])
    assert np.array_equal(found.take(rows).features["text"], stored[source[rows]])
    assert found.features["audio"].shape == (48, 8, 6)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_share_of_the_pairs_is_wrong_and_nothing_is_used_twice(share: float) -> None:
    source = mismatch(40, share)
    assert source.sort().values.tolist() == list(range(40))
    assert (source != torch.arange(40)).sum() == round(share * 40)


def test_a_larger_share_includes_the_smaller_one() -> None:
    few, many = (mismatch(40, share) != torch.arange(40) for share in (0.2, 0.6))
    assert (few & many).sum() == few.sum() == 8


def test_one_wrong_pair_alone_cannot_be() -> None:
    assert (mismatch(10, 0.1) != torch.arange(10)).sum() == 2
    assert mismatch(10, 0.04).tolist() == list(range(10))


def test_wrong_pairs_are_marked_and_hold_another_clips_modality(data: Path) -> None:
    right = load_pairs(data, small_pair_run(data, mismatch_ratio=0.0).spec)
    found = load_pairs(data, small_pair_run(data, mismatch_ratio=0.25, seed=3).spec)
    assert found.wrong.sum() == 12
    assert not right.wrong.any()
    mine, other = whole(found.train), whole(right.train)
    torch.testing.assert_close((mine["text"] == other["text"]).all(dim=1), ~found.wrong)
    assert torch.equal(mine["audio"], other["audio"])
    for split in ("validation", "test"):  # judged by right pairs
        mine, other = whole(getattr(found, split)), whole(getattr(right, split))
        assert len(mine["text"]) == COUNTS[split]
        assert torch.equal(mine["text"], other["text"])
    assert found.clips == [f"clip{n:03d}" for n in range(64, 84)]


def test_clips_without_a_modality_are_left_out(data: Path) -> None:
    has = np.ones(sum(COUNTS.values()), bool)
    has[[0, 5, 50, 80]] = False
    change_index(data, has_text=has)
    found = load_pairs(data, small_pair_run(data).spec)
    assert [len(found.train), len(found.validation), len(found.test)] == [46, 15, 19]
    assert "clip080" not in found.clips
    assert found.train.samples.tolist() == list(range(46))


def test_a_missing_modality_is_one_sentence(data: Path) -> None:
    run = small_pair_run(data, modalities=("audio", "text"))
    change_index(data, has_text=False)
    with pytest.raises(AmidError) as caught:
        load_pairs(data, run.spec)
    assert str(caught.value) == (
        "avsentences: no training clip has the modality 'text': contrastive pre-training needs "
        "clips that have all of audio, text."
    )


def test_a_modality_that_was_not_extracted_is_one_sentence(data: Path) -> None:
    from dataclasses import replace

    spec = replace(small_pair_run(data).spec, auxiliary=("depth",))
    with pytest.raises(AmidError, match=r"no features of 'depth', only of audio, text, video"):
        load_pairs(data, spec)


@pytest.mark.parametrize(("count", "said"), [(0, "no training clip has"), (1, "only one training")])
def test_one_pair_only_is_one_sentence(data: Path, count: int, said: str) -> None:
    run = small_pair_run(data)
    numbers = np.arange(sum(COUNTS.values()))
    change_index(data, has_text=numbers < 20 + count, has_audio=numbers >= 20)
    with pytest.raises(AmidError, match=f"{said}.* all of audio, text: .* at least two"):
        load_pairs(data, run.spec)


@pytest.mark.parametrize(("count", "share"), [(2, 0.4), (3, 0.9)])
def test_all_pairs_wrong_is_one_sentence(tmp_path: Path, count: int, share: float) -> None:
    counts = {"train": count, "validation": 0, "test": 2}
    data = write_pairs(tmp_path / "avsentences", counts=counts)
    with pytest.raises(AmidError) as caught:
        load_pairs(data, small_pair_run(data, mismatch_ratio=share).spec)
    assert str(caught.value) == (
        f"avsentences: with the mismatch ratio {share:g} all {count} training pairs are wrong, and "
        "there is nothing to learn: lower it, or add pairs."
    )
    found = load_pairs(data, small_pair_run(data, mismatch_ratio=0.0).spec)
    assert not found.wrong.any()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_one_pair_to_be_judged_by_is_one_sentence(tmp_path: Path, split: str) -> None:
    counts = {"train": 8, "validation": 2, "test": 2, split: 1}
    data = write_pairs(tmp_path / "avsentences", counts=counts)
    with pytest.raises(AmidError, match=f"the split '{split}' has a single pair, which is always"):
        load_pairs(data, small_pair_run(data).spec)
