"""RAVDESS: the release's names and archives, folds of actors, and what may be wrong with them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from amid.data.extraction import extract_features
from amid.data.manifest import check_manifest
from amid.datasets import problems, ravdess
from amid.datasets.ravdess import EMOTIONS, Options, listed
from amid.errors import AmidError
from amid.extractors import frame_dct, log_mel
from tests.media.clips import activity, write_avi


def film(path: Path, label: int, clip: int) -> Path:
    """A small film with sound in the container of the release."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = write_avi(path.with_suffix(".mov"), *activity(label, clip, 0.4, len(EMOTIONS)))
    return made.rename(path)


def tree(folder: Path, actors: range, clips: int | None = None) -> Path:
    """Actor_NN/ with all clips of empty films, or with the first `clips` as real ones."""
    for actor in actors:
        for number, clip in enumerate(listed(actor)[:clips]):
            path = folder / f"Actor_{actor:02d}" / f"{clip}.mp4"
            if clips is not None:
                film(path, int(clip[6:8]) - 1, number)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(clip.encode())
    return folder


def made(out: Path, mirror: Path | None = None, **values: object) -> tuple[pd.DataFrame, dict]:
    options = Options(**values)
    lines: list[str] = []
    found = ravdess.fetch(
        options, out, mirror=None if mirror is None else str(mirror), echo=lines.append
    )
    manifest = ravdess.rows(options, out)
    check_manifest(manifest)
    return manifest, {**found, "lines": lines}


def test_the_full_release_has_1440_clips() -> None:
    clips = [clip for actor in range(1, 25) for clip in listed(actor)]
    assert len(clips) == len(set(clips)) == 1440
    assert {len(listed(actor)) for actor in range(1, 25)} == {60}
    assert "01-01-06-01-02-01-12" in listed(12)
    assert "01-01-01-02-01-01-01" not in clips  # neutral is never strong


def test_folds_are_pairs_of_actors(tmp_path: Path) -> None:
    manifest, found = made(tmp_path / "out", recordings=str(tree(tmp_path / "a", range(1, 25))))
    assert len(manifest) == 1440
    assert found["counts"] == {"clips": 1440, "expected": 1440, "actors": 24}
    assert manifest["split"].value_counts().to_dict() == {
        "train": 960,
        "validation": 240,
        "test": 240,
    }
    assert set(manifest.loc[manifest["fold"] == 0, "group"]) == {
        *("Actor_01", "Actor_02", "Actor_13", "Actor_14")
    }
    assert (manifest.groupby("group")["fold"].nunique() == 1).all()
    labels = manifest.set_index("id")["label"]
    assert labels["01-01-06-01-02-01-12"] == "fearful"
    assert labels.value_counts().to_dict() == {
        name: 96 if name == "neutral" else 192 for name in EMOTIONS
    }
    row = manifest.iloc[0]
    assert row["video_path"] == row["audio_path"] == f"raw/Actor_{row['id'][-2:]}/{row['id']}.mp4"
    assert "recordings" not in Options(recordings="x").model_dump()


def archives(folder: Path, actors: range) -> Path:
    folder.mkdir()
    for actor in actors:
        with zipfile.ZipFile(folder / f"Video_Speech_Actor_{actor:02d}.zip", "w") as file:
            for clip in listed(actor):
                file.writestr(f"Actor_{actor:02d}/{clip}.mp4", clip)
                file.writestr(f"Actor_{actor:02d}/02{clip[2:]}.mp4", "without sound")
            file.writestr(f"__MACOSX/Actor_{actor:02d}/._{listed(actor)[0]}.mp4", "Mac OS X")
    return folder


def test_archives_give_the_same_as_folders(tmp_path: Path) -> None:
    actors = tuple(range(1, 7))
    options = {"actors": actors, "folds": 3}
    unpacked, _ = made(tmp_path / "a", recordings=str(tree(tmp_path / "t", range(1, 7))), **options)
    mirror = archives(tmp_path / "mirror", range(1, 7))
    downloaded, found = made(tmp_path / "b", mirror, **options)
    pd.testing.assert_frame_equal(unpacked, downloaded)
    for path in downloaded["video_path"]:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
    assert [file["name"] for file in found["files"]] == [
        f"Video_Speech_Actor_{actor:02d}.zip" for actor in actors
    ]
    assert str(tmp_path) not in json.dumps({k: v for k, v in found.items() if k != "lines"})


def test_a_missing_film_is_a_problem_and_moves_no_other(tmp_path: Path) -> None:
    source = tree(tmp_path / "t", range(1, 7))
    options = {"recordings": str(source), "actors": tuple(range(1, 7)), "folds": 3}
    before, _ = made(tmp_path / "a", **options)
    (source / "Actor_03" / "01-01-05-01-01-02-03.mp4").unlink()
    after, found = made(tmp_path / "b", **options)
    lost = problems(ravdess, Options(), tmp_path / "b")
    assert lost.values.tolist() == [
        ["01-01-05-01-01-02-03", "video", "missing_file", "not in Actor_03"]
    ]
    pd.testing.assert_frame_equal(
        after, before[before["id"] != "01-01-05-01-01-02-03"].reset_index(drop=True)
    )
    assert found["lines"] == ["ravdess: 359 of 360 clips of 6 actors."]


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    source = tree(tmp_path / "t", range(1, 3))
    with pytest.raises(AmidError, match=r"lacks Actor_03, Actor_04, .*: unpack these") as caught:
        made(tmp_path / "out", recordings=str(source))
    assert "\n" not in str(caught.value)
    with pytest.raises(AmidError, match="1 pairs of actors cannot make 6 folds"):
        made(tmp_path / "out", recordings=str(source), actors=[1, 2])
    (source / "Actor_01" / "01-01-03-01-01-01-02.mp4").write_bytes(b"")
    with pytest.raises(AmidError, match="which is not called like a film of actor 1"):
        made(tmp_path / "out", recordings=str(source), actors=[1, 2])
    (tmp_path / "e" / "Actor_01").mkdir(parents=True)
    with pytest.raises(AmidError, match=r"holds no film like 01-01-01-01-01-01-01\.mp4"):
        made(tmp_path / "out", recordings=str(tmp_path / "e"), actors=[1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"actors": [25]}, "less than or equal to 24"),
        ({"actors": [1, 1]}, "stands there twice"),
        ({"folds": 2}, "greater than or equal to 3"),
        ({"sha256": {"Audio_Speech_Actors_01-24.zip": None}}, "none of the files"),
        ({"sha256": {"Video_Speech_Actor_01.zip": "x"}}, "not 64 hexadecimal digits"),
    ],
)
def test_options_that_cannot_be(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Options(**values)


def test_films_of_the_release_become_features(tmp_path: Path) -> None:
    source = tree(tmp_path / "t", range(1, 7), clips=4)
    manifest, _ = made(tmp_path / "out", recordings=str(source), actors=tuple(range(1, 7)), folds=3)
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
    assert len(found.index) == len(manifest) == 24
    assert len(found.quarantine) == 0
