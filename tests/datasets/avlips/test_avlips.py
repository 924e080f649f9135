"""The embedded data set: same bytes everywhere, splits as asked for, files that open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import soundfile
from pydantic import ValidationError

from amid.datasets import avlips, contact_sheet
from amid.datasets.avlips import Options
from amid.errors import AmidError

SMALL = Options(
    words=("bin", "place", "with"),
    clips_per_word=7,
    train=8,
    validation=6,
    test=7,
    auxiliary_clips_per_word=2,
)


def tree(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("avlips")
    return folder, avlips.fetch(SMALL, folder, mirror=None, workers=2)


@pytest.fixture(scope="module")
def manifest() -> pd.DataFrame:
    return avlips.rows(Options(), Path("nowhere"))


@pytest.mark.slow
def test_bytes_depend_on_nothing_but_the_options(
    made: tuple[Path, dict], tmp_path: Path, root: Path
) -> None:
    folder, sources = made
    script = (
        "import json; from pathlib import Path; from amid.datasets import avlips\n"
        f"options = avlips.Options.model_validate_json('{SMALL.model_dump_json()}')\n"
        "sources = avlips.fetch(options, Path('again'), mirror=None, workers=1)\n"
        "print(json.dumps(sources), flush=True)"
    )
    elsewhere = {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONPATH": str(root)}
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, **elsewhere, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert tree(tmp_path / "again") == tree(folder)
    assert json.loads(result.stdout) == sources


def test_fetch_replaces_what_other_options_left(tmp_path: Path) -> None:
    stale = tmp_path / "raw" / "video" / "again_099.avi"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"old")
    two = {"words": ("at", "in"), "clips_per_word": 1, "validation": 0, "train": 1, "test": 1}
    avlips.fetch(Options(**two, auxiliary_clips_per_word=0), tmp_path, mirror=None, workers=1)
    assert sorted(tree(tmp_path / "raw" / "video")) == ["at_000.avi", "in_000.avi"]


def test_sources_tell_the_files(made: tuple[Path, dict]) -> None:
    folder, sources = made
    assert sources["clips"] == 27
    assert {kind: files["count"] for kind, files in sources["files"].items()} == {
        "video": 21,
        "audio": 21,
        "text": 21,
        "auxiliary/audio": 6,
        "auxiliary/text": 6,
    }
    size = sum(len(content) for content in tree(folder).values())
    assert sum(files["bytes"] for files in sources["files"].values()) == size
    assert str(folder) not in json.dumps(sources)


def test_every_file_of_the_manifest_was_made_and_no_other(made: tuple[Path, dict]) -> None:
    folder, _ = made
    manifest = avlips.rows(SMALL, folder)
    paths = manifest[["video_path", "audio_path", "text_path"]].stack().dropna()
    assert sorted(paths) == sorted(tree(folder))


def test_media_open_with_the_declared_durations(made: tuple[Path, dict]) -> None:
    folder, _ = made
    for path in sorted((folder / "raw" / "video").glob("*.avi")):
        capture = cv2.VideoCapture(str(path))
        assert capture.get(cv2.CAP_PROP_FPS) == SMALL.frame_rate
        frames = []
        while (read := capture.read())[0]:
            frames.append(read[1])
        assert len(frames) == capture.get(cv2.CAP_PROP_FRAME_COUNT) == 25
        assert frames[0].shape == (SMALL.frame_height, SMALL.frame_width, 3)
        moved = [np.abs(frame.astype(int) - frames[0]).mean() for frame in frames]
        assert max(moved) > 2
    for path in sorted(folder.rglob("*.wav")):
        sound, rate = soundfile.read(path)
        assert (rate, len(sound)) == (16000, 16000)
        assert soundfile.info(path).subtype == "PCM_16"
        assert 0.01 < np.sqrt(np.square(sound).mean()) < 0.3
    assert all(path.read_text().strip() for path in folder.rglob("*.txt"))


def test_manifest_has_the_columns_and_splits_of_the_options(manifest: pd.DataFrame) -> None:
    columns = ["id", "label", "split", "fold", "group"]
    for modality in ("video", "audio", "text"):
        columns += [f"{modality}_path", f"{modality}_start", f"{modality}_end"]
    assert list(manifest.columns) == columns
    assert manifest["id"].is_unique
    assert manifest["id"].is_monotonic_increasing
    assert manifest["fold"].dtype == np.int64
    assert Counter(manifest["split"]) == {
        "train": 800,
        "validation": 800,
        "test": 1000,
        "auxiliary": 1560,
    }
    assert manifest[["video_start", "audio_end"]].dtypes.eq(np.float64).all()


def test_splits_are_even_over_words(manifest: pd.DataFrame) -> None:
    counts = manifest.groupby(["split", "label"]).size().unstack("split")
    assert (counts.max() - counts.min() <= 1).all()
    assert (counts.drop(columns="auxiliary").sum(axis=1) == 100).all()


def test_folds_are_voice_groups_and_only_auxiliary_clips_have_none(manifest: pd.DataFrame) -> None:
    main = manifest[manifest["split"] != "auxiliary"]
    auxiliary = manifest[manifest["split"] == "auxiliary"]
    assert Counter(main["fold"]) == dict.fromkeys(range(5), 520)
    assert (main["group"] == "voices" + main["fold"].astype(str)).all()
    assert (auxiliary["fold"] == -1).all()
    assert auxiliary["video_path"].isna().all()
    assert auxiliary[["audio_path", "text_path"]].notna().all(axis=None)


def test_another_seed_splits_otherwise(manifest: pd.DataFrame) -> None:
    other = avlips.rows(Options(seed=1), Path("nowhere"))
    assert (other["id"] == manifest["id"]).all()
    assert (other["split"] != manifest["split"]).mean() > 0.2


def test_noise_on_the_sound_leaves_picture_and_transcript_alone() -> None:
    clip = avlips.clips(SMALL)[0]
    noisy = SMALL.model_copy(update={"snr_mean": -20.0})
    said = avlips.perform(SMALL, clip)
    assert avlips.perform(noisy, clip)[2:] == said[2:]
    assert np.array_equal(avlips.film(noisy, clip, said), avlips.film(SMALL, clip, said))
    assert avlips.write_down(noisy, clip) == avlips.write_down(SMALL, clip)
    assert not np.array_equal(avlips.record(noisy, clip, said), avlips.record(SMALL, clip, said))


def test_the_sound_has_the_signal_to_noise_ratio_asked_for() -> None:
    clip = avlips.clips(SMALL)[0]
    said = avlips.perform(SMALL, clip)._replace(effort=1.0)
    quiet, loud = (
        SMALL.model_copy(update={"snr_mean": level, "snr_spread": 0.0}) for level in (80.0, 6.0)
    )
    word, mixed = avlips.record(quiet, clip, said), avlips.record(loud, clip, said)
    first, last = said.speech.phonemes[0].start, said.speech.phonemes[-1].end
    spoken = slice(round((said.start + first) * 16000), round((said.start + last) * 16000))
    power = [np.square(part).mean() for part in (word[spoken], mixed - word)]
    assert 10 * np.log10(power[0] / power[1]) == pytest.approx(6.0, abs=0.2)


def test_picture_and_sound_of_a_clip_start_together() -> None:
    still = {"gesture_jitter": 0.0, "camera_noise": 0.0, "sway": 0.0, "flicker": 0.0}
    options = SMALL.model_copy(update={**still, "mouth_lead": 0.0, "snr_mean": 80.0})
    clip = next(clip for clip in avlips.clips(options) if clip.word == "bin")
    said = avlips.perform(options, clip)
    early, late = (said._replace(start=start) for start in (0.1, 0.3))
    shift = round(0.2 * options.frame_rate)
    films = [avlips.film(options, clip, one).astype(int) for one in (early, late)]
    assert np.array_equal(films[0][:15], films[1][shift : shift + 15])
    sounds = [avlips.record(options, clip, one) for one in (early, late)]
    assert np.allclose(sounds[0][1600:9600], sounds[1][4800:12800], atol=1e-3)


def test_transcripts_are_wrong_about_as_often_as_asked_for() -> None:
    options = Options(mishearing=0.3, typing_errors=0.0)
    main = [clip for clip in avlips.clips(options) if clip.split != "auxiliary"]
    wrong = np.mean([avlips.write_down(options, clip) != clip.word for clip in main])
    assert wrong == pytest.approx(0.3, abs=0.03)


def test_a_word_too_slow_for_its_clip_is_an_error() -> None:
    slow = SMALL.model_copy(update={"slowest": 80, "fastest": 80, "duration": 0.5})
    with pytest.raises(AmidError, match=r"clip \w+ takes 0\.\d+ s to say, too long for its 0\.5 s"):
        [avlips.perform(slow, clip) for clip in avlips.clips(slow)]


def test_an_error_in_a_worker_is_told(tmp_path: Path) -> None:
    slow = SMALL.model_copy(update={"slowest": 80, "fastest": 80, "duration": 0.5})
    with pytest.raises(AmidError, match="too long"):
        avlips.fetch(slow, tmp_path, mirror=None, workers=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": 900}, "is 2700, but 26 words of 100 clips make 2600"),
        ({"words": ["bin", "dog"]}, "'dog' is not in the vocabulary"),
        ({"words": ["bin"]}, "at least two words"),
        ({"words": ["bin", "bin"]}, "each once"),
        ({"slowest": 180}, r"slowest \(180\) is above fastest \(175\)"),
        ({"duration": 0.99}, "not a whole number of frames"),
        ({"mishearing": 1.5}, "less than or equal to 1"),
        ({"camera_noise": -1}, "greater than or equal to 0"),
        ({"snr_mean": float("nan")}, "snr_mean"),
        ({"frame_width": 65}, "multiple of 2"),
        ({"cliips_per_word": 3}, "cliips_per_word"),
    ],
)
def test_impossible_options_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Options(**values)


def test_the_contact_sheet_shows_each_word(made: tuple[Path, dict], tmp_path: Path) -> None:
    folder, _ = made
    contact_sheet.contact_sheet(folder, tmp_path / "images" / "avlips.png")
    image = cv2.imread(str(tmp_path / "images" / "avlips.png")).astype(int)
    strips = np.split(image, 3)  # three words
    label, wave = contact_sheet.LABEL_WIDTH, -contact_sheet.WAVE_WIDTH
    for strip in strips:
        assert strip[:, :label].min() < 100  # the word
        assert strip[:-8, label:wave].std() > 10  # faces
        assert np.ptp(strip[:, wave:], axis=2).max() > 50  # the wave, in blue
    assert not np.array_equal(strips[0], strips[1])


def test_a_contact_sheet_needs_clips(tmp_path: Path) -> None:
    with pytest.raises(AmidError, match="holds no clips"):
        contact_sheet.contact_sheet(tmp_path, tmp_path / "none.png")
