"""What is shown of a data set: drawn by a seed, the same bytes on any number of cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amid import config
from amid.data.feature_store import FeatureStore
from amid.extractors.features import Options as Features
from amid.extractors.frame_dct import Options
from amid.report import exhibits
from amid.report.data import read_exhibits
from amid.runs.store import CHECKPOINT
from tests.media.clips import write_video
from tests.recorded import record
from tests.released import EXTRACT, put_runs, write_clips
from tests.small import ROOT, small_params

CHOSEN = config.Report(seed=0, points=16, perplexity=5.0, samples=6)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("data") / "avlips")


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory):
    return put_runs(data, tmp_path_factory.mktemp("runs"))


def samples_of(data: Path, trained, **changes):
    records, models = trained
    block = small_params().dataset("avlips")
    extract = {**block.extract, "video": ("frame_dct", Options(**EXTRACT))} | changes
    block = block.model_copy(update={"extract": extract})
    manifest = pd.read_parquet(data / "manifest.parquet")
    store = FeatureStore.open(data / "features")
    return exhibits.samples(records, models, block, store, manifest, data, CHOSEN)


@pytest.mark.slow  # networks are trained
def test_t_and_f_of_the_chosen_epoch_are_laid_out(data: Path, trained) -> None:
    records, models = trained
    run = records["amid"][0]
    checkpoint = models[run.key].parent / CHECKPOINT
    found = exhibits.tsne(run, checkpoint, data, CHOSEN)
    assert found["run"] == run.key
    assert found["epoch"] == run.best_epoch + 1
    points = np.array(found["points"])
    assert points.shape == (16, 5)
    assert points[:, 1:].min() >= 0
    assert points[:, 1:].max() <= 1
    spans = [np.ptp(points[:, [axis, axis + 2]]) for axis in (1, 2)]
    assert max(spans) == pytest.approx(1, abs=0.002)
    assert found == exhibits.tsne(run, checkpoint, data, CHOSEN)


@pytest.mark.slow  # networks are trained
def test_without_a_teacher_there_is_nothing_to_lay_out(data: Path, trained) -> None:
    records, _ = trained
    found = exhibits.tsne(records["student_alone"][0], Path("nowhere"), data, CHOSEN)
    assert "no F" in found["missing"]
    few = record({"student": 1, "teacher": 1}, labels=[0, 1])
    assert "too few" in exhibits.tsne(few, Path("nowhere"), data, CHOSEN)["missing"]


@pytest.mark.slow  # networks are trained
def test_clips_come_with_the_students_word_and_frames_as_far_as_there_are(
    data: Path, trained
) -> None:
    records, _ = trained
    raw = data / "raw"
    raw.mkdir()
    for clip in records["amid"][0].clips[::2]:  # the others are gone
        write_video(raw / f"{clip}.avi", frames=25, codec="MJPG")
    found, pictures = samples_of(data, trained)
    runs = {run.key: run for of in records.values() for run in of}
    run = runs[found["run"]]
    predicted = dict(zip(run.clips, run.predictions["best"]["student"], strict=True))
    assert len(found["clips"]) == CHOSEN.samples
    for clip in found["clips"]:
        (first, p), (_, second) = clip["ranked"]
        assert first == run.classes[predicted[clip["id"]]]
        assert 1 >= p >= second >= 0
        assert ("picture" in clip) == (raw / f"{clip['id']}.avi").exists()
    assert {clip["picture"] for clip in found["clips"] if "picture" in clip} == set(pictures)
    assert all(data.startswith(b"\xff\xd8") for data in pictures.values())
    assert samples_of(data, trained) == (found, pictures)


@pytest.mark.slow  # networks are trained
def test_features_made_elsewhere_have_no_frames(data: Path, trained) -> None:
    given = Features(dims=6, sequence=True)
    found, pictures = samples_of(data, trained, video=("features", given))
    assert "features made elsewhere" in found["without_pictures"]
    assert not pictures
    assert found["clips"]


def test_half_of_the_clips_are_wrong_as_far_as_there_are_such() -> None:
    for right, wrong in ((45, 3), (48, 2), (50, 0), (1, 5), (25, 3)):
        run = record({"student": right})
        places = exhibits.choose_samples(run, CHOSEN)
        assert len(set(places)) == 6
        assert sum(place >= right for place in places) == wrong
    few = record({"student": 2}, labels=[0, 1, 2])
    assert sorted(exhibits.choose_samples(few, CHOSEN)) == [0, 1, 2]


def test_the_quarantine_is_counted_by_reason_and_modality() -> None:
    rows = [
        ("a", "video", "corrupt", ""),
        ("b", "video", "corrupt", ""),
        ("b", "audio", "no_sound", ""),
    ]
    quarantine = pd.DataFrame(rows, columns=["id", "modality", "reason", "detail"])
    counts = {"clips": 9, "kept": 7, "quarantined": 2, "reasons": {}}
    assert exhibits.quarantine_counts(quarantine, counts) == {
        **{"clips": 9, "kept": 7, "quarantined": 2},
        "rows": [
            {"reason": "corrupt", "modality": "video", "count": 2},
            {"reason": "no_sound", "modality": "audio", "count": 1},
        ],
    }
    assert exhibits.quarantine_counts(quarantine[:0], counts)["rows"] == []


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    found = {"samples": {"clips": [{"id": "a", "picture": "00.jpg"}, {"id": "b"}]}}
    exhibits.write(tmp_path, found, {"00.jpg": b"\xff\xd8x"})
    read = read_exhibits(tmp_path)
    assert read["samples"]["clips"][0]["picture"] == "data:image/jpeg;base64,/9h4"
    assert json.loads((tmp_path / exhibits.EXHIBITS).read_text()) == found


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no way to take cores away")
def test_the_layout_does_not_depend_on_the_number_of_cores() -> None:
    code = (
        "import os, sys\n"
        "os.sched_setaffinity(0, list(os.sched_getaffinity(0))[: int(sys.argv[1])])\n"
        "import stages, numpy as np; from amid.report.exhibits import tsne_layout\n"
        "rows = np.random.default_rng(0).normal(size=(120, 32))\n"
        "sys.stdout.write(repr(tsne_layout(rows, 10.0, 0).tolist()))"
    )
    places = [
        subprocess.run(
            [sys.executable, "-c", code, cores], cwd=ROOT, capture_output=True, check=True
        ).stdout
        for cores in ("1", "2")
    ]
    assert places[0] == places[1]
    assert len(places[0]) > 1000


def test_points_are_drawn_by_the_seed_alone() -> None:
    rows = exhibits.sample_rows(100, 10, 0)
    assert list(rows) == sorted(set(map(int, rows)))
    assert list(rows) == list(exhibits.sample_rows(100, 10, 0))
    assert list(rows) != list(exhibits.sample_rows(100, 10, 1))
    assert list(exhibits.sample_rows(5, 10, 0)) == [0, 1, 2, 3, 4]
