"""IEMOCAP: a small tree of the release's layout, with real pictures and sound."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import soundfile
from pydantic import ValidationError

from amid.core.dct import lowest_frequencies
from amid.data.extraction import extract_features, plan_tasks
from amid.data.feature_store import FeatureStore
from amid.data.splits import fold_splits
from amid.datasets import iemocap
from amid.datasets.iemocap import Options, Utterance, fetch, problems, rows, side
from amid.errors import AmidError
from amid.extractors import frame_dct, frames, log_mel, ngrams
from amid.report import exhibits
from tests.media.clips import write_avi
from tests.params import put_params, read_params
from tests.small import ROOT, project_params

LABELS = ("ang", "hap", "exc", "neu", "sad", "sad", "fru", "xxx")
SAID = {
    "ang": "Go away!",
    "hap": "How nice.",
    "exc": "Hurrah!",
    "neu": "It is three.",
    "sad": "Oh.",
}
LASTS, STEP = 0.4, 0.5  # seconds of an utterance, from one to the next
EXTRACTORS = {
    "video": ("frame_dct", frame_dct.Options(frames=2, coefficients=4, differences=False)),
    "audio": ("log_mel", log_mel.Options(steps=4)),
    "text": ("ngrams", ngrams.Options(dims=32)),
}


def make(release: Path, *, dialogues: tuple[str, ...] = ("F", "M"), labels=LABELS) -> Path:
    """A release: of each session a dialogue a marked person, whose utterances alternate between
    the two. The picture is dark on the left and bright on the right."""
    generator = np.random.default_rng(0)
    for session in range(1, 6):
        dialog = release / f"Session{session}" / "dialog"
        for marked in dialogues:
            name = f"Ses0{session}{marked}_impro01"
            label_lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
            said_lines = []
            for number, label in enumerate(labels):
                utterance = f"{name}_{'FM'[number % 2]}{number:03d}"
                start, end = number * STEP, number * STEP + LASTS
                label_lines += [
                    f"[{start:.4f} - {end:.4f}]\t{utterance}\t{label}\t[2.5000, 2.5000, 2.5000]",
                    "C-E2:\tNeutral;\t()",
                    "",
                ]
                text = SAID.get(label, "Well.")
                said_lines.append(f"{utterance} [{start:08.4f}-{end:08.4f}]: {text}")
                wav = release / f"Session{session}/sentences/wav/{name}/{utterance}.wav"
                wav.parent.mkdir(parents=True, exist_ok=True)
                samples = generator.normal(0, 0.1, int(16000 * LASTS))
                soundfile.write(wav, samples, 16000, subtype="PCM_16")
            for folder, lines in (("EmoEvaluation", label_lines), ("transcriptions", said_lines)):
                (dialog / folder).mkdir(parents=True, exist_ok=True)
                (dialog / folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
                (dialog / folder / f"._{name}.txt").write_bytes(b"\0\5\x16\7Mac OS X")
            video = dialog / "avi" / "DivX" / f"{name}.avi"
            video.parent.mkdir(parents=True, exist_ok=True)
            writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
            for frame in range(int(len(labels) * STEP * 25)):
                picture = np.full((48, 64, 3), 40 + frame % 5, np.uint8)
                picture[:, 32:] += 150
                writer.write(picture)
            writer.release()
    return release


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("iemocap") / "release")


@pytest.fixture
def release(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "release")


def dialog(release: Path, session: int = 1) -> Path:
    return release / f"Session{session}" / "dialog"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def got(release: Path, **options) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    folder = release.parent / "data"
    chosen = Options(recordings=str(release), **options)
    sources = fetch(chosen, folder, echo=lambda line: None)
    return rows(chosen, folder), problems(chosen, folder), sources


def test_labels_are_merged_and_the_others_counted(release):
    lines = []
    options = Options(recordings=str(release))
    sources = fetch(options, release.parent / "data", echo=lines.append)
    manifest = rows(options, release.parent / "data")
    classes = {"angry": 10, "happy": 20, "neutral": 10, "sad": 20}
    assert manifest["label"].value_counts().to_dict() == classes
    assert sources["counts"] == {
        "utterances": 80,
        "expected": 5531,
        "labelled": 60,
        "classes": classes,
        "other_labels": {"fru": 10, "xxx": 10},
    }
    assert lines == [
        "IEMOCAP: 60 of the 5531 utterances of the full release (10 angry, 20 happy, 10 neutral, "
        "20 sad); 20 of other labels are left out"
    ]
    assert problems(options, release.parent / "data").empty
    assert not any("._" in file["name"] for file in sources["files"])
    assert str(release) not in json.dumps(sources)


def test_folds_and_splits_follow_the_sessions(release):
    manifest, _, _ = got(release)
    session = manifest["id"].str[4].astype(int)
    assert (manifest["fold"] == session - 1).all()
    assert (manifest["group"] == "Session" + session.astype(str)).all()
    expected = session.map({1: "train", 2: "train", 3: "train", 4: "validation", 5: "test"})
    assert (manifest["split"] == expected).all()
    other = got(release, test_session=1, validation_session=2)[0]
    assert set(other["split"][session == 1]) == {"test"}
    assert set(other["split"][session == 2]) == {"validation"}
    for fold in range(5):
        split = fold_splits(manifest["split"], manifest["fold"], fold)
        assert set(session[split == "test"]) == {fold + 1}
        assert not set(session[split == "train"]) & set(session[split != "train"])
    with pytest.raises(ValidationError, match="two sessions"):
        Options(validation_session=5)


@pytest.mark.parametrize("dialogue", ["F", "M"])
@pytest.mark.parametrize("speaker", ["F", "M"])
def test_the_marked_speaker_sits_on_the_named_side(dialogue, speaker):
    name = f"Ses01{dialogue}_script01_1"
    utterance = Utterance(f"{name}_{speaker}000", name, 1, 0.0, 1.0, "neu")
    assert side(utterance, "left") == ("left" if dialogue == speaker else "right")
    assert side(utterance, "right") == ("right" if dialogue == speaker else "left")


def test_features_are_of_the_speakers_half(release):
    manifest, _, _ = got(release)
    index, quarantine, _ = extract_features(
        manifest,
        release.parent / "data",
        release.parent / "features",
        EXTRACTORS,
        workers=1,
        required=["video"],
    )
    assert len(index) == 60
    assert quarantine.empty
    brightness = FeatureStore.open(release.parent / "features").array("video")[:, :, 0]
    bright = brightness.mean(axis=1) > brightness.mean()
    on_the_right = index["id"].str[5] != index["id"].str[-4]  # not who wears the markers
    assert (bright == on_the_right).all()
    assert 0 < on_the_right.sum() < 60


LETTERBOXED = slice(112, 368)  # rows of the 480 in which something is to be seen


@pytest.fixture(scope="module")
def letterboxed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list, np.ndarray]:
    """A dialogue's film of the size and with the black bars that are reported of the release's.

    The task of extraction and those of the report's pictures, of an utterance of the left and one
    of the right; and the frame that is drawn again and again, (480, 720, 3) uint8: two bright
    people, each with a texture of its own.
    """
    release = make(
        tmp_path_factory.mktemp("bars") / "release", dialogues=("F",), labels=("ang",) * 2
    )
    generator = np.random.default_rng(0)
    drawn = np.zeros((480, 720, 3), np.uint8)
    for left, level in ((0, 110), (360, 210)):
        blocks = generator.integers(level - 15, level + 16, (32, 45), np.uint8)
        texture = np.kron(blocks, np.ones((8, 8), np.uint8))  # (256, 360)
        drawn[LETTERBOXED, left : left + 360] = texture[:, :, None]
    film = dialog(release) / "avi" / "DivX" / "Ses01F_impro01.avi"
    write_avi(film, np.stack([drawn] * 25), codec="mpeg4")
    manifest, lost, _ = got(release)
    assert lost.empty
    block = project_params().dataset("iemocap")
    manifest = manifest[manifest["id"].str.startswith("Ses01F")].reset_index(drop=True)
    folder = release.parent / "data"
    tasks = exhibits._tasks(manifest, block, list(manifest["id"]), folder)
    (extraction,) = plan_tasks(manifest, folder, {"video": block.extract["video"]})
    assert len(extraction.parts) == 1
    return [extraction, *tasks], drawn


def seen(values: np.ndarray, options: frame_dct.Options) -> np.ndarray:
    """(frames, rows, columns) from 0 to 255: what frame_dct's coefficients tell of its frames."""
    rows, columns = options.size
    order = lowest_frequencies(rows, columns, options.coefficients)
    planes = np.zeros((len(values), rows * columns), np.float32)
    planes[:, order] = values[:, : options.coefficients]
    return np.stack([cv2.idct(plane.reshape(rows, columns)) for plane in planes]) * 255


def test_the_blocks_own_options_leave_the_black_bars_out(letterboxed):
    (extraction, *_), _ = letterboxed
    options = extraction.parts[0].options
    left, right = (
        seen(values, options)
        for values in frame_dct.extract(extraction.path, extraction.parts[0].spans, options)
    )
    assert left.shape == right.shape == (8, 32, 32)
    np.testing.assert_allclose(left, 110, atol=15)  # every pixel: no bar, nothing of the other
    np.testing.assert_allclose(right, 210, atol=15)
    whole = options.model_copy(update={"box": None})  # as params.yaml says: the whole half
    for values in frame_dct.extract(extraction.path, extraction.parts[0].spans, whole):
        rows = seen(values, options).mean(axis=(0, 2))
        assert (rows[:6] < 40).all()
        assert (rows[-6:] < 40).all()


def test_the_blocks_box_is_rows_112_to_368_of_480(letterboxed):
    (extraction, *_), drawn = letterboxed
    box = extraction.parts[0].options.box
    clips = frames.extract(
        extraction.path, extraction.parts[0].spans, frames.Options(size=(256, 360), box=box)
    )
    for clip, left in zip(clips, (0, 360), strict=True):
        wanted = drawn[LETTERBOXED, left : left + 360].astype(int)
        apart = np.abs(clip - wanted).mean(axis=(0, 3))  # (256, 360)
        assert apart.mean(axis=1).max() < 8, "rows"
        assert apart.mean(axis=0).max() < 8, "columns"
    assert [round(share * 480) for share in box[:2]] == [112, 368]


def test_the_reports_pictures_leave_the_black_bars_out(letterboxed):
    (_, *tasks), _ = letterboxed
    for task, level in zip(tasks, (110, 210), strict=True):
        sheet, _, _ = exhibits.contact_sheet(task)
        picture = cv2.imdecode(np.frombuffer(sheet, np.uint8), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_allclose(picture.mean(axis=1), level, atol=20)
        np.testing.assert_allclose(picture.mean(axis=0), level, atol=20)


def test_missing_parts_are_problems_with_a_reason(release):
    name = "Ses01F_impro01"
    (release / f"Session1/sentences/wav/{name}/{name}_F000.wav").unlink()
    (release / f"Session1/sentences/wav/{name}/{name}_F006.wav").unlink()  # fru: not asked for
    texts = dialog(release) / "transcriptions" / f"{name}.txt"
    edit(texts, f"{name}_M001", f"{name}_MXX1")
    edit(texts, ": Hurrah!", ":")
    labels = dialog(release) / "EmoEvaluation" / f"{name}.txt"
    edit(labels, "[1.5000 - 1.9000]", "[1.9000 - 1.5000]")
    manifest, lost, sources = got(release)
    assert sorted(map(tuple, lost[["id", "modality", "reason"]].to_numpy())) == [
        (f"{name}_F000", "audio", "missing_file"),
        (f"{name}_F002", "text", "empty_file"),
        (f"{name}_M001", "text", "missing_file"),
        (f"{name}_M003", "video", "span_outside"),
    ]
    assert len(manifest) == 56
    assert not set(manifest["id"]) & set(lost["id"])
    assert sources["counts"]["labelled"] == 60


def test_what_is_wrong_with_a_video_ends_in_quarantine(release):
    videos = dialog(release) / "avi" / "DivX"
    (videos / "Ses01F_impro01.avi").unlink()
    (videos / "Ses01M_impro01.avi").write_bytes(b"")
    labels = dialog(release, 2) / "EmoEvaluation" / "Ses02F_impro01.txt"
    edit(labels, "[2.5000 - 2.9000]", "[92.5000 - 92.9000]")
    manifest, lost, _ = got(release)
    assert lost.empty
    index, quarantine, _ = extract_features(
        manifest,
        release.parent / "data",
        release.parent / "features",
        EXTRACTORS,
        workers=1,
        required=["video"],
    )
    assert len(index) == 60 - 13
    counts = quarantine["reason"].value_counts().to_dict()
    assert counts == {"missing_file": 6, "empty_file": 6, "span_outside": 1}


def test_raw_files_are_links_and_text_is_written(release):
    manifest, _, _ = got(release)
    data = release.parent / "data"
    first = manifest.iloc[0]
    assert (data / first["text_path"]).read_text() == "Go away!\n"
    sound = release / "Session1/sentences/wav/Ses01F_impro01" / f"{first['id']}.wav"
    assert (data / first["audio_path"]).samefile(sound)
    again, _, _ = got(release)  # over what is there
    pd.testing.assert_frame_equal(again, manifest)
    assert sorted(p.name for p in data.iterdir()) == ["raw"]


def test_files_are_copied_where_links_are_impossible(release, monkeypatch):
    def refuse(*paths):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    manifest, lost, _ = got(release)
    assert len(manifest) == 60
    assert lost.empty
    assert (release.parent / "data" / manifest["video_path"][0]).stat().st_nlink == 1


def test_an_absent_release_is_one_sentence(tmp_path, release):
    with pytest.raises(
        AmidError, match=r"lacks Session1, .*ask for .*sail.usc.edu/iemocap"
    ) as told:
        fetch(Options(recordings=str(tmp_path / "nowhere")), tmp_path / "data")
    assert "\n" not in str(told.value)
    manifest = got(release)[0]
    shutil.rmtree(release / "Session3")
    with pytest.raises(AmidError, match="lacks Session3:"):
        got(release)
    data = release.parent / "data"
    pd.testing.assert_frame_equal(rows(Options(), data), manifest)  # what was there stays


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Ses01F_impro01_F000", "../../../F000", "line 3 of Ses01F_impro01.txt"),
        ("Ses01F_impro01_F000", "Ses02F_impro01_F000", "line 3"),
        ("[0.0000 - 0.4000]", "[nan - 0.4000]", "line 3"),
        ("Ses01F_impro01_F002", "Ses01F_impro01_F000", "more than one line"),
    ],
)
def test_labels_that_are_not_as_released_are_an_error(release, old, new, message):
    edit(dialog(release) / "EmoEvaluation" / "Ses01F_impro01.txt", old, new)
    with pytest.raises(AmidError, match=message):
        got(release)
    assert not (release.parent / "data" / "raw").exists()


def test_a_file_of_another_name_among_the_labels_is_an_error(release):
    (dialog(release) / "EmoEvaluation" / "notes.txt").write_text("")
    with pytest.raises(AmidError, match=r"notes\.txt among the labels"):
        got(release)


def test_text_that_is_no_utf8_is_told_by_the_extractor(release):
    texts = dialog(release) / "transcriptions" / "Ses01F_impro01.txt"
    texts.write_bytes(texts.read_bytes().replace(b"Go away!", b"Go \xe9!"))
    manifest, _, _ = got(release)
    assert (release.parent / "data" / manifest["text_path"][0]).read_bytes() == b"Go \xe9!\n"


def test_the_block_of_params_is_valid_and_not_run_by_default():
    params = project_params()
    block = params.dataset("iemocap")
    assert block.options == iemocap.Options()
    assert set(block.setups) == {"A-V", "L-V", "AL-V"}
    assert "iemocap" not in params.datasets


@pytest.mark.slow(seconds=70)
def test_a_small_release_ends_in_table_3(release, tmp_path, warm):
    place = tmp_path / "project"
    place.mkdir()
    values = read_params()
    values["datasets"] = ["iemocap"]
    values["data"]["iemocap"]["options"]["recordings"] = "../release"
    values["training"] |= {"epochs": 2, "warmup_epochs": 1}
    values["table3"]["training"] = {"epochs": 2, "warmup_epochs": 1}
    values["table3"]["configurations"] = ["ccl", "amid"]
    put_params(place, values)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(place)}
    for stage in ("download", "extract", "auxiliary", "train folds", "table"):
        words = f"stages.{stage} {'table3' if stage == 'table' else 'iemocap'}".split()
        done = subprocess.run(
            [warm / "python", "-m", *words],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        if stage == "extract":
            assert done.stdout.strip() == "extract@iemocap: 60 of 60 clips kept"
    table = pd.read_csv(place / "reports" / "table3.csv")
    assert set(table["setup"]) >= {"A-V", "L-V", "AL-V"}
    assert set(table["configuration"]) == {"student_alone", "ccl", "amid"}
    assert (place / "reports" / "table3.md").is_file()
