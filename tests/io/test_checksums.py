"""Sums beside artefacts: written when they are made, compared before they are used, and one
sentence that says how to come by the file again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amid.data.feature_store import FeatureStore
from amid.errors import AmidError
from amid.io import checksums
from amid.runs.scheduler import run_all
from amid.runs.store import RECORD, RunStore
from amid.studies.base import load_records
from tests.campaigns.flips import flip
from tests.recorded import put, record
from tests.runs.test_scheduler import Listener
from tests.small import small_params, small_run, write_data


def test_sums_are_sorted_and_added_to(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_bytes(name.encode())
        checksums.record_checksums(tmp_path, name)
        checksums.verify(tmp_path / name)
    found = json.loads((tmp_path / checksums.SUMS).read_text())
    assert list(found) == ["a", "b"]
    assert found["a"] == checksums.sha256_bytes(b"a")


def test_a_file_is_read_again_only_when_it_was_touched(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a")
    checksums.record_checksums(tmp_path, "a")
    checksums.verify(path)
    with monkeypatch.context() as patch:
        patch.setattr(checksums, "sha256_file", lambda path: pytest.fail("read twice"))
        checksums.verify(path)
    path.write_bytes(b"bb")
    with pytest.raises(AmidError, match=r"a is damaged.*delete the file and run `dvc repro`"):
        checksums.verify(path)


def test_after_a_clear_of_the_cache_every_file_is_read_again(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a").write_bytes(b"a")
    assert checksums.cached_sha256(tmp_path / "a") == checksums.sha256_bytes(b"a")
    checksums.clear_cache()
    monkeypatch.setattr(checksums, "sha256_file", lambda path: "read")
    assert checksums.cached_sha256(tmp_path / "a") == "read"


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"])
def test_without_its_sum_nothing_is_used(tmp_path: Path, text) -> None:
    (tmp_path / "a").write_bytes(b"a")
    if text is not None:
        (tmp_path / checksums.SUMS).write_text(text)
    with pytest.raises(AmidError, match=r"sums\.json is damaged or lacks .*delete .*`dvc repro`"):
        checksums.verify(tmp_path / "a")


@pytest.mark.parametrize(
    "name",
    [
        "features/index.parquet",
        "features/video.npy",
        "embeddings/audio.npy",
        "embeddings/audio.json",
    ],
)
def test_nothing_is_trained_on_a_damaged_file(tmp_path: Path, name: str) -> None:
    data = write_data(tmp_path / "avlips")
    plan = [small_run(data, "amid")]
    flip(data / name, 8 * ((data / name).stat().st_size - 3))
    store = RunStore(tmp_path / ".runs")
    with pytest.raises(AmidError, match=f"{name.rpartition('/')[2]} is damaged"):
        run_all(plan, store=store, data=data, workers=1, checkpoint_every=1, tracker=Listener())
    assert not store.runs.exists()


def test_features_that_no_run_reads_are_checked_by_who_reads_them(tmp_path: Path) -> None:
    store = FeatureStore.open(write_data(tmp_path / "avlips") / "features")
    flip(store.folder / "audio.npy", 4000)
    store.array("video")
    with pytest.raises(AmidError, match=r"audio\.npy is damaged"):
        store.array("audio")


def test_a_flipped_record_of_the_store_is_made_again_and_said_so(tmp_path: Path, capfd) -> None:
    data = write_data(tmp_path / "avlips")
    plan, store = [small_run(data, "student_alone")], RunStore(tmp_path / ".runs")
    path = store.folder(plan[0].spec.key) / RECORD

    def train() -> str:
        run_all(plan, store=store, data=data, workers=1, checkpoint_every=1, tracker=Listener())
        return capfd.readouterr().out

    assert "damaged" not in train()
    before = path.read_bytes()
    digit = before.index(b'"validation_student":0.') + len(b'"validation_student":0.')
    flip(path, 8 * digit)  # another number, but JSON all the same
    assert store.record(plan[0].spec.key) is None
    told = train()
    assert told.count(f"{path.parent} is damaged: the run is made again") == 1
    assert "1 runs, 1 trained" in told
    assert path.read_bytes() == before
    assert "0 trained" in train()


def test_a_flipped_record_is_in_no_table(tmp_path: Path) -> None:
    params = small_params(seeds=[0], datasets=["avlips"])
    folder = tmp_path / "amid" / "avlips" / "amid" / "seed0"
    put(record({"student": 30}), folder)
    flip(folder / RECORD, 800)
    with pytest.raises(AmidError, match=r"seed0/record\.json is damaged.*`dvc repro`"):
        load_records(params, tmp_path, ["amid"])


def test_what_the_store_hands_out_has_its_sum(tmp_path: Path) -> None:
    made = record({"student": 30})
    store = RunStore(tmp_path / ".runs")
    store.finish(made)
    store.model(made.key).write_bytes(b"weights")
    out = tmp_path / "runs" / "amid" / "avlips" / "amid" / "seed0"
    store.export(made.key, out, checkpoint=False)
    params = small_params(seeds=[0], datasets=["avlips"])
    assert load_records(params, tmp_path / "runs", ["amid"]) == {"avlips": {"amid": [made]}}
