"""CREMA-D: the repository's names, folds of actors, and what may be wrong with a clone."""

from __future__ import annotations

import io
from itertools import product
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import soundfile

from amid.data.extraction import extract_features
from amid.data.manifest import check_manifest
from amid.datasets import cremad, problems
from amid.datasets.cremad import CLASSES, Options
from amid.errors import AmidError
from amid.extractors import frame_dct, log_mel
from tests.media.clips import activity

CLIPS = [
    f"{actor}_{sentence}_{emotion}_XX"
    for actor, sentence, emotion in product(range(1001, 1013), ("DFA", "IWW"), CLASSES)
]


def tree(folder: Path, clips: list[str] = CLIPS) -> Path:
    """The two folders, with files that hold their names."""
    for name, suffix in (("AudioWAV", ".wav"), ("VideoFlash", ".flv")):
        (folder / name).mkdir(parents=True)
        for clip in clips:
            (folder / name / f"{clip}{suffix}").write_text(clip)
    return folder


def made(source: Path, out: Path, **values: object) -> tuple[pd.DataFrame, dict]:
    options = Options(recordings=str(source), **values)
    lines: list[str] = []
    found = cremad.fetch(options, out, echo=lines.append)
    manifest = cremad.rows(options, out)
    check_manifest(manifest)
    return manifest, {**found, "lines": lines}


def test_one_row_a_clip_and_folds_of_actors(tmp_path: Path) -> None:
    manifest, found = made(tree(tmp_path / "clone"), tmp_path / "out")
    assert manifest["id"].tolist() == sorted(CLIPS)
    assert found["lines"] == ["cremad: 144 clips, 7442 in the full release."]
    row = manifest.set_index("id").loc["1001_DFA_ANG_XX"]
    assert (row["label"], row["group"]) == ("angry", "1001")
    assert row["video_path"] == "raw/VideoFlash/1001_DFA_ANG_XX.flv"
    assert row["audio_path"] == "raw/AudioWAV/1001_DFA_ANG_XX.wav"
    assert (manifest.groupby("group")["fold"].nunique() == 1).all()
    assert set(manifest.loc[manifest["fold"] == 0, "split"]) == {"test"}
    assert set(manifest.loc[manifest["fold"] == 1, "split"]) == {"validation"}
    assert "recordings" not in Options(recordings="x").model_dump()
    other, _ = made(tmp_path / "clone", tmp_path / "out", seed=1)
    assert other["fold"].tolist() != manifest["fold"].tolist()


def test_the_draw_is_over_all_actors(tmp_path: Path) -> None:
    whole, _ = made(tree(tmp_path / "a"), tmp_path / "b")
    few = [clip for clip in CLIPS if not clip.startswith("1004")]
    part, _ = made(tree(tmp_path / "c", few), tmp_path / "d")
    expected = whole[whole["group"] != "1004"].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, expected)


def test_names_of_the_release_and_others(tmp_path: Path) -> None:
    clips = [*CLIPS, "1040_ITH_SAD_X", "1091_WSI_HAP_HI"]
    source = tree(tmp_path / "clone", clips)
    (source / "AudioWAV" / "1092_DFA_ANG_XX.wav").write_text("no such actor")
    (source / "AudioWAV" / "._1001_DFA_ANG_XX.wav").write_text("Mac OS X")
    (source / "AudioWAV" / "1002_DFA_SAD_XX.wav").unlink()
    manifest, found = made(source, tmp_path / "out")
    assert {"1040_ITH_SAD_X", "1091_WSI_HAP_HI"} <= set(manifest["id"])
    assert "1002_DFA_SAD_XX" not in set(manifest["id"])
    assert problems(cremad, Options(), tmp_path / "out").values.tolist() == [
        ["1002_DFA_SAD_XX", "audio", "missing_file", "not in AudioWAV"]
    ]
    assert found["counts"] == {"clips": 146, "expected": 7442, "usable": 145, "other_names": 1}
    assert found["lines"][0].endswith("left out, such as '1092_DFA_ANG_XX.wav'.")


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(AmidError, match="VideoFlash does not exist: CREMA-D is not downloaded"):
        made(tmp_path / "nowhere", tmp_path / "out")
    source = tree(tmp_path / "clone")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (source / "AudioWAV" / "1001_DFA_ANG_XX.wav").write_text(pointer)
    with pytest.raises(AmidError, match=r"1 of 288 files .* run `git lfs pull` there") as caught:
        made(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    with pytest.raises(AmidError, match=r"holds no file like AudioWAV/1001_DFA_ANG_XX.wav"):
        made(tree(tmp_path / "other", ["film1"]), tmp_path / "out")


def write_flv(path: Path, pictures: np.ndarray) -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flv") as container:
        video = container.add_stream("flv1", rate=25)
        video.height, video.width, video.pix_fmt = *pictures.shape[1:3], "yuv420p"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode())
    path.write_bytes(buffer.getvalue())


def test_films_and_sounds_become_features(tmp_path: Path) -> None:
    clips = [clip for clip in CLIPS if "_DFA_" in clip][:72]
    source = tree(tmp_path / "clone", clips)
    for number, clip in enumerate(clips):
        pictures, sound = activity(list(CLASSES).index(clip[9:12]), number, 0.4)
        write_flv(source / "VideoFlash" / f"{clip}.flv", pictures)
        soundfile.write(source / "AudioWAV" / f"{clip}.wav", sound, 16000)
    manifest, _ = made(source, tmp_path / "out", folds=3)
    extractors = {
        "video": (
            "frame_dct",
            frame_dct.Options(frames=4, box=None, size=(24, 32), coefficients=16),
        ),
        "audio": ("log_mel", log_mel.Options()),
    }
    found = extract_features(
        manifest,
        tmp_path / "out",
        tmp_path / "features",
        extractors,
        workers=1,
        required=["video", "audio"],
    )
    assert len(found.index) == len(manifest) == 72
    assert len(found.quarantine) == 0
