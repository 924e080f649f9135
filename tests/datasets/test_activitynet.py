"""ActivityNet: segments of videos on the disk, and what may be wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from amid.data.manifest import check_manifest
from amid.datasets import activitynet
from amid.datasets.activitynet import Options
from amid.errors import AmidError
from tests.media.clips import activity, write_avi

LABELS = ("Archery", "Making a cake")
NAME = "activity_net.v1-3.min.json"


def entry(subset: str, duration: float, *annotations: tuple[str, float, float]) -> dict:
    """A video as the file has it; only what is read is checked, the rest stands there too."""
    return {
        "subset": subset,
        "duration": duration,
        "url": "https://example.org/watch",
        "resolution": "64x48",
        "annotations": [{"label": label, "segment": [a, b]} for label, a, b in annotations],
    }


def write(folder: Path, database: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_text(json.dumps({"database": database, "version": "VERSION 1.3"}))
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """Ten training videos with two segments, four to test, one without labels; and the database."""
    folder = tmp_path_factory.mktemp("activitynet")
    database = {}
    for n in range(14):
        label = LABELS[n % 2]
        subset = "training" if n < 10 else "validation"
        name = f"clip_{n:02d}-abc"
        database[name] = entry(subset, 1.0, (label, 0.0, 0.4), (label, 0.5, 1.0))
        file = f"{'v_' if n % 3 else ''}{name}.{('avi', 'mkv')[n % 2]}"
        write_avi(folder / "videos" / file, *activity(n % 2, n, 1.0))
    database["withheld000"] = entry("testing", 1.0)
    return write(folder, database), database


def made(source: Path, out: Path, **values) -> tuple[pd.DataFrame, dict, list[str]]:
    options = Options(recordings=str(source), **values)
    lines: list[str] = []
    record = activitynet.fetch(options, out, workers=2, echo=lines.append)
    frame = activitynet.rows(options, out)
    check_manifest(frame)
    return frame, record, lines


def linked(source: Path, target: Path) -> Path:
    """The folder of videos a second time."""
    (target / "videos").mkdir(parents=True)
    for path in (source / "videos").iterdir():
        (target / "videos" / path.name).hardlink_to(path)
    return target


def test_segments_become_clips_beside_the_expected_counts(
    source: tuple[Path, dict], tmp_path: Path
) -> None:
    frame, record, lines = made(source[0], tmp_path / "out")
    assert len(frame) == 28
    assert frame["split"].value_counts().to_dict() == {"train": 18, "test": 8, "validation": 2}
    assert sorted(frame["label"].unique()) == sorted(LABELS)
    assert record["counts"]["training"] == {
        "videos_expected": 10_024,
        "videos_annotated": 10,
        "videos_present": 10,
        "segments": 20,
        "segments_usable": 20,
    }
    assert lines == [
        "activitynet, training: found 10 of 10 annotated videos (release 1.3 has 10024); 20 of 20 "
        "segments usable",
        "activitynet, validation: found 4 of 4 annotated videos (release 1.3 has 4926); 8 of 8 "
        "segments usable",
        "activitynet: 2 classes (release 1.3 has 200)",
    ]
    row = frame[frame["id"] == "clip_01-abc-001"].iloc[0]
    assert row["video_path"] == row["audio_path"] == "raw/videos/clip_01-abc.mkv"
    assert (row["video_start"], row["audio_end"]) == (0.5, 1.0)
    file = tmp_path / "out" / row["video_path"]
    assert file.samefile(source[0] / "videos" / "v_clip_01-abc.mkv")
    assert str(source[0]) not in json.dumps(record)
    assert "recordings" not in Options(recordings=str(source[0])).model_dump()


@pytest.mark.parametrize("seed", range(6))
def test_a_video_stays_on_one_side(source: tuple[Path, dict], tmp_path: Path, seed: int) -> None:
    frame, _, _ = made(source[0], tmp_path / "out", validation=0.3, seed=seed)
    assert (frame.groupby("group")["split"].nunique() == 1).all()
    assert (frame.groupby("group")["fold"].nunique() == 1).all()
    assert frame.loc[frame["split"] == "validation", "group"].nunique() == 3
    tested = frame.loc[frame["split"] == "test", "group"].unique()
    assert sorted(tested) == [f"clip_{n:02d}-abc" for n in range(10, 14)]


def test_validation_may_be_nothing(source: tuple[Path, dict], tmp_path: Path) -> None:
    frame, _, _ = made(source[0], tmp_path / "out", validation=0.0)
    assert sorted(frame["split"].unique()) == ["test", "train"]


def test_missing_videos_are_counted_not_fatal(source: tuple[Path, dict], tmp_path: Path) -> None:
    before, _, _ = made(source[0], tmp_path / "before")
    folder = write(linked(source[0], tmp_path / "less"), source[1])
    (folder / "videos" / "clip_03-abc.mkv").unlink()
    (folder / "videos" / "v_clip_11-abc.mkv").unlink()
    write_avi(folder / "videos" / "v_clip_05-abc.mkv.new.mkv", activity(0, 0, 1.0)[0])
    (folder / "videos" / "v_clip_05-abc.mkv.new.mkv").replace(
        folder / "videos" / "v_clip_05-abc.mkv"
    )
    frame, record, lines = made(folder, tmp_path / "out")
    lost = activitynet.problems(Options(), tmp_path / "out")
    assert lost.groupby("reason")["id"].apply(list).to_dict() == {
        "missing_file": [
            "clip_03-abc-000",
            "clip_03-abc-001",
            "clip_11-abc-000",
            "clip_11-abc-001",
        ],
        "no_sound": ["clip_05-abc-000", "clip_05-abc-001"],
    }
    assert record["counts"]["reasons"] == {"missing_file": 4, "no_sound": 2}
    assert record["counts"]["training"]["videos_present"] == 9
    assert lines[-1].endswith("segments left out: 4 missing_file, 2 no_sound")
    expected = before[~before["id"].isin(lost["id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(frame, expected)  # the others' draws did not move


def test_segments_without_length_or_outside_are_problems(
    source: tuple[Path, dict], tmp_path: Path
) -> None:
    label = LABELS[0]
    spans = [(0.2, 0.2), (0.6, 0.3), (-0.5, 0.5), (0.5, 1.3), (2.0, 3.0), (1.01, 1.04), (0.5, 1.2)]
    changed = {"clip_00-abc": entry("training", 1.0, *((label, *span) for span in spans))}
    folder = write(linked(source[0], tmp_path / "bad"), source[1] | changed)
    frame, _, _ = made(folder, tmp_path / "out")
    lost = activitynet.problems(Options(), tmp_path / "out")
    assert lost["id"].tolist() == [f"clip_00-abc-{n:03d}" for n in range(6)]
    assert set(lost["reason"]) == {"span_outside"}
    assert "0.500 to 1.300 s does not lie in the clip's 0 to 1.000 s" in lost["detail"][3]
    # an end within the rounding of the annotators is the video's end
    assert frame.set_index("id").loc["clip_00-abc-006", "video_end"] == 1.0


def test_an_id_goes_before_the_same_with_v_and_kinds_have_an_order(tmp_path: Path) -> None:
    for name in ("v_a.mp4", "a.avi", "b.webm", "b.mkv", "v_b.mp4", "notes.txt", "v_c.avi"):
        (tmp_path / name).write_bytes(b"x")
    found = activitynet._files(tmp_path)
    assert found["a"].name == "a.avi"
    assert found["b"].name == "b.mkv"
    assert found["c"].name == "v_c.avi"
    assert "notes" not in found


# ---------------------------------------------------------------------------------- mistakes


def test_absent_data_is_one_sentence(source: tuple[Path, dict], tmp_path: Path) -> None:
    with pytest.raises(AmidError, match=r"is not downloaded: put activity_net.* into one folder"):
        activitynet.fetch(Options(), tmp_path / "out")
    with pytest.raises(AmidError, match=r"v1-3\.min\.json does not exist: put ActivityNet's"):
        made(tmp_path / "nowhere", tmp_path / "out")
    write(tmp_path / "half", source[1])
    with pytest.raises(
        AmidError, match=r"videos does not exist: put the videos there as <id>\.mp4"
    ):
        made(tmp_path / "half", tmp_path / "out")
    (tmp_path / "half" / "videos").mkdir()
    with pytest.raises(AmidError, match=r"holds none of the 14 videos .* such as clip_00-abc\.mp4"):
        made(tmp_path / "half", tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<html>", "is not ActivityNet's annotation file"),
        ("[]", "is not ActivityNet's annotation file"),
        ('{"database": []}', "is not ActivityNet's annotation file"),
        ('{"database": {}}', "has no segment in training or validation"),
        (
            '{"database": {"../x": {"subset": "training", "duration": 1, "annotations": []}}}',
            "'../",
        ),
        ('{"database": {"x": {"subset": "training", "annotations": []}}}', "'x' is not as in"),
        (
            '{"database": {"x": {"subset": "training", "duration": NaN, "annotations": []}}}',
            "'x' is not as in",
        ),
        (
            '{"database": {"x": {"subset": "training", "duration": 1, '
            '"annotations": [{"label": "", "segment": [0, 1]}]}}}',
            "'x' is not as in",
        ),
        (
            '{"database": {"x": {"subset": "training", "duration": 1, '
            '"annotations": [{"label": "a", "segment": [0]}]}}}',
            "'x' is not as in",
        ),
    ],
)
def test_a_file_that_is_no_annotation_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / NAME).write_text(text)
    with pytest.raises(AmidError, match=words):
        made(tmp_path, tmp_path / "out")


def test_names_lead_nowhere_else() -> None:
    for name in ("/etc/passwd", "../x.json"):
        with pytest.raises(ValueError, match="a path below `recordings`"):
            Options(annotations=name)
