"""Sequences of any length in the feature store, and as the tensors of a run."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from amid import extractors
from amid.data.extraction import extract_features
from amid.data.feature_store import FeatureStore
from amid.data.splits import features_fingerprint, load_splits
from amid.media import MediaError, Reason
from tests.small import small_run, sum_all, write_data

LENGTHS = {"a": 3, "b": 5, "c": 1, "d": 4, "e": 2, "f": 6, "g": 2}


class Options(BaseModel):
    width: int = 2


def rows_of(name: str, length: int, dtype: type) -> np.ndarray:
    start = 10 * (ord(name) - ord("a"))
    return np.arange(start, start + 2 * length).reshape(length, 2).astype(dtype)


@pytest.fixture(params=[np.float32, np.uint8])
def kind(request, monkeypatch, in_process) -> type:
    """The type of the values of an extractor of sequences, which is known as `steps`."""
    module = ModuleType("steps")
    module.Options, module.shape = Options, lambda options: (None, options.width)

    def extract(path: Path, spans: list, options: Options) -> list:
        if path.read_text() == "bad":
            raise MediaError(Reason.corrupt, f"{path.name} is bad")
        return [rows_of(path.stem, LENGTHS[path.stem], request.param)] * len(spans)

    module.extract = extract
    if request.param is not np.float32:
        module.DTYPE = request.param
    monkeypatch.setitem(sys.modules, "steps", module)
    monkeypatch.setitem(extractors.EXTRACTORS, "steps", "steps")
    return request.param


def extracted(folder: Path, *, bad: str = "", absent: str = "", split: str = "train"):
    folder.mkdir()
    rows = []
    for name in reversed(LENGTHS):  # the order of the paths is not that of the manifest
        (folder / f"{name}.txt").write_text("bad" if name in bad else "good")
        row = {"id": name, "label": "x", "split": "train", "fold": -1, "group": "g"}
        row |= {"text_path": f"{name}.txt", "text_start": np.nan, "text_end": np.nan}
        path = None if name in absent else f"{name}.txt"
        row |= {"steps_path": path, "steps_start": np.nan, "steps_end": np.nan}
        rows.append(row)
    rows[-1]["split"] = split
    from amid.extractors import ngrams

    chosen = {"text": ("ngrams", ngrams.Options(dims=4)), "steps": ("steps", Options())}
    index, quarantine, _ = extract_features(
        pd.DataFrame(rows),
        folder,
        folder / "features",
        chosen,
        workers=1,
        required=["text", "steps"],
        optional=["steps"],
    )
    return FeatureStore.open(folder / "features"), index, quarantine


def check(store: FeatureStore, kind: type, names: str, absent: str = "") -> None:
    assert store.index["id"].tolist() == list(names)
    array = store.array("steps")
    starts, lengths = store.spans("steps")
    assert starts.dtype == lengths.dtype == np.int64
    assert array.dtype == kind
    assert array.shape == (sum(LENGTHS[n] for n in names if n not in absent), 2)
    for name, start, length in zip(names, starts, lengths, strict=True):
        expected = rows_of(name, 0 if name in absent else LENGTHS[name], kind)
        np.testing.assert_array_equal(array[start : start + length], expected)
    used = sorted((s, n) for s, n in zip(starts, lengths, strict=True) if n)
    assert all(s + n == after for (s, n), (after, _) in pairwise(used))
    assert store.modalities == ["text", "steps"]
    assert store.ragged("steps")
    assert not store.ragged("text")


def test_sequences_lie_one_after_another(kind, tmp_path: Path) -> None:
    store, _, quarantine = extracted(tmp_path / "all")
    assert quarantine.empty
    check(store, kind, "gfedcba")
    assert store.fingerprint() == FeatureStore.open(store.folder).fingerprint()


@pytest.mark.parametrize("bad", ["a", "g", "bd", "acf", "bcdefg"])
def test_what_is_set_aside_leaves_no_gap(kind, bad: str, tmp_path: Path) -> None:
    store, _, quarantine = extracted(tmp_path / "some", bad=bad)
    check(store, kind, "".join(n for n in "gfedcba" if n not in bad))
    assert sorted(quarantine["id"]) == sorted(bad)
    whole, _, _ = extracted(tmp_path / "all")
    sizes = [(s.folder / "steps.npy").stat().st_size for s in (store, whole)]
    assert sizes[1] - sizes[0] == 2 * np.dtype(kind).itemsize * sum(LENGTHS[n] for n in bad)


def test_a_training_clip_may_lack_an_optional_modality(kind, tmp_path: Path) -> None:
    store, index, quarantine = extracted(tmp_path / "some", absent="bf")
    check(store, kind, "gfedcba", absent="bf")
    assert quarantine.empty
    assert index.set_index("id")["has_steps"][["b", "f"]].tolist() == [False, False]
    assert store.spans("steps")[0][[1, 5]].tolist() == [0, 0]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_clip_to_be_judged_by_may_not(kind, split: str, tmp_path: Path) -> None:
    store, _, quarantine = extracted(tmp_path / "some", absent="a", split=split)
    check(store, kind, "gfedcb")
    assert quarantine.values.tolist() == [
        ["a", "steps", "missing_file", "the manifest names no file"]
    ]


def test_clips_come_filled_up_with_nan(tmp_path: Path, kind) -> None:
    if kind is not np.float32:
        pytest.skip("whole numbers have no NaN")
    store, _, _ = extracted(tmp_path / "all")
    chosen = store.clips("steps", np.array([6, 1]))  # a and f
    assert chosen.shape == (2, 6, 2)
    np.testing.assert_array_equal(chosen[0, :3], rows_of("a", 3, kind))
    assert np.isnan(chosen[0, 3:]).all()
    np.testing.assert_array_equal(chosen[1], rows_of("f", 6, kind))
    texts = store.clips("text", np.array([6, 1]))
    np.testing.assert_array_equal(texts, store.array("text")[[6, 1]])


def ragged(folder: Path) -> Path:
    """The small data set with its video's sequences cut to lengths from 1 to 8."""
    write_data(folder)
    features = folder / "features"
    index = pd.read_parquet(features / "index.parquet")
    video = np.load(features / "video.npy", allow_pickle=False)
    lengths = np.random.default_rng(0).integers(1, 9, len(index))
    index["video_length"] = lengths.astype(np.int64)
    index["video_start"] = (lengths.cumsum() - lengths).astype(np.int64)
    index.to_parquet(features / "index.parquet", index=False)
    cut = [clip[:length] for clip, length in zip(video, lengths, strict=True)]
    np.save(features / "video.npy", np.concatenate(cut))
    sum_all(features)
    return folder


@pytest.mark.parametrize("configuration", ["student_alone", "amid"])
def test_a_run_learns_from_sequences_of_any_length(configuration, tmp_path: Path) -> None:
    from tests.training.test_trainer import train

    features_fingerprint.cache_clear()
    data = ragged(tmp_path / "avlips")
    spec = small_run(data, configuration).spec
    splits = load_splits(data, spec)
    lengths = (~splits.train.target[:, :, 0].isnan()).sum(1)
    assert lengths.min() == 1
    assert lengths.max() == 8
    assert splits.train.target.shape == (40, 8, 6)
    record = train(spec, data, tmp_path / "run")
    assert record.history[-1]["train_loss"] < record.history[0]["train_loss"]
    assert record.accuracy("student") > 0.4
