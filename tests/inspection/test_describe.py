"""python -m stages.describe: what it finds in folders and manifests, and the block it writes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from amid import config
from amid.datasets import own
from amid.errors import AmidError
from amid.inspection.advice import advice
from amid.inspection.describe import describe
from amid.inspection.folder import clips
from tests.media.clips import activity, write_avi
from tests.params import change, write_params
from tests.small import ROOT

PARAMS = ROOT / "params.yaml"


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def vectors(folder: Path, lengths: dict[str, tuple[int, ...]], per_class: int = 6) -> Path:
    """A manifest of `.npy` files, a column and a shape for each name."""
    folder.mkdir(parents=True)
    lines = ["id,label," + ",".join(lengths)]
    for number in range(2 * per_class):
        cells = []
        for name, shape in lengths.items():
            (folder / name).mkdir(exist_ok=True)
            np.save(folder / name / f"{number}.npy", np.ones(shape, np.float32))
            cells.append(f"{name}/{number}.npy")
        lines.append(f"c{number},{'ab'[number % 2]}," + ",".join(cells))
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def block(text: str) -> dict:
    return YAML(typ="safe").load(text)


# ---------------------------------------------------------------------------------- folders


def test_files_of_one_name_are_the_modalities_of_a_clip(tmp_path: Path) -> None:
    folder = touch(tmp_path, "cat/1.mp4", "cat/1.txt", "cat/2.mp4", "dog/1.mp4", "dog/.hidden.mp4")
    assert clips(folder) == [
        {"id": "cat_1", "label": "cat", "text": "cat/1.txt", "video": "cat/1.mp4"},
        {"id": "cat_2", "label": "cat", "text": "", "video": "cat/2.mp4"},
        {"id": "dog_1", "label": "dog", "text": "", "video": "dog/1.mp4"},
    ]


def test_folders_of_splits_groups_and_modalities(tmp_path: Path) -> None:
    split = touch(tmp_path / "split", "train/cat/a.mp4", "train/dog/b.mp4", "val/cat/c.mp4")
    assert [(row["id"], row["split"], row["label"]) for row in clips(split)] == [
        ("a", "train", "cat"),
        ("b", "train", "dog"),
        ("c", "validation", "cat"),
    ]
    inside = touch(tmp_path / "inside", "cat/ann/1.mp4", "cat/bob/2.mp4", "dog/cid/3.mp4")
    assert [(row["label"], row["group"]) for row in clips(inside)] == [
        ("cat", "ann"),
        ("cat", "bob"),
        ("dog", "cid"),
    ]
    outside = touch(tmp_path / "outside", "ann/cat/1.mp4", "bob/cat/2.mp4", "bob/dog/3.mp4")
    assert [(row["label"], row["group"]) for row in clips(outside)] == [
        ("cat", "ann"),
        ("cat", "bob"),
        ("dog", "bob"),
    ]
    named = touch(
        tmp_path / "named", *(f"{m}/{c}/1.npy" for m in ("Pose 2D", "imu") for c in ("cat", "dog"))
    )
    assert clips(named)[0] == {
        **{"id": "cat_1", "label": "cat"},
        **{"imu": "imu/cat/1.npy", "pose_2d": "Pose 2D/cat/1.npy"},
    }
    ucf = touch(tmp_path / "ucf", "Archery/v_Archery_g01_c01.avi", "Archery/v_Archery_g02_c01.avi")
    assert [row["group"] for row in clips(ucf)] == ["Archery_g01", "Archery_g02"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.mp4", "b.mp4"], r"do not lie in folders of classes, .*: a.mp4 does not"),
        (["cat/a.mp4", "cat/x/y/b.mp4"], r"x/y/b.mp4 does not"),
        (["cat/a.mp4", "cat/a.avi"], r"two video files of one clip, cat/a.avi and cat/a.mp4"),
        (["cat/a.pdf"], "neither a manifest nor any file"),
    ],
)
def test_other_folders_are_refused_in_one_sentence(
    tmp_path: Path, names: list[str], words: str
) -> None:
    with pytest.raises(AmidError, match=words):
        clips(touch(tmp_path, *names))


# ---------------------------------------------------------------------------------- blocks


def test_long_sequences_of_the_target_get_the_cnn(tmp_path: Path) -> None:
    short = vectors(tmp_path / "short", {"a": (20, 3), "b": (5,)})
    found = describe(short, None, PARAMS, 1)
    values = block(found.block)
    assert "encoders" not in values
    assert values["extract"] == {
        "a": {"extractor": "features", "dims": 3, "sequence": True},
        "b": {"extractor": "features", "dims": 5},
    }
    assert values["folder"] == str(short)
    long = vectors(tmp_path / "long", {"a": (326, 3), "b": (326, 2), "c": (4,)})
    values = block(describe(long, "other", PARAMS, 1).block)
    assert values["encoders"] == {"a": "cnn"}  # an auxiliary one has it anyway
    assert values["setups"] == {"b": ["b"], "c": ["c"], "all": ["b", "c"]}


def test_a_block_has_the_strong_protocol(tmp_path: Path) -> None:
    """Without cuts and changes of speed where the student's sequences have few steps."""
    params = config.load(PARAMS, used=())
    whole = params.training.strong["augmentation"]
    for steps, changed in [((5,), whole), ((15, 3), None), ((16, 3), whole), ((40, 3), whole)]:
        folder = vectors(tmp_path / str(steps[0]), {"a": steps, "b": (5,)})
        text = describe(folder, "mine", PARAMS, 1).block
        file = tmp_path / "mine.yaml"
        file.write_text(text)
        mine = config.read_block(params, file)
        training = params.model_copy(update={"data": {"mine": mine}}).training_of("mine")
        assert (training.protocol, training.epochs, training.choose) == ("strong", 30, "last")
        kept = {n: v for n, v in whole.items() if n not in ("crop", "time_warp")}
        assert training.augmentation == (kept if changed is None else changed)
        assert list(kept) == ["scaling", "jitter"]
        assert max(map(len, text.splitlines())) <= 100


def test_what_is_worth_a_look_is_told(tmp_path: Path) -> None:
    folder = vectors(tmp_path / "few", {"a": (4,), "b": (5,)})
    told = "\n".join(describe(folder, None, PARAMS, 1).comments)
    assert "12 clips of 2 classes, 6 each: 2 test, 8 train, 2 validation" in told
    assert "no column `group`" in told
    assert "2 classes have less than 10 training clips, as 'a'" in told
    assert "30 epochs of 8 training clips are 30 steps" in told  # of the protocol `strong`
    lines = (folder / "manifest.csv").read_text().splitlines()
    lacking = [line if n % 2 else line.rpartition(",")[0] + "," for n, line in enumerate(lines)]
    (folder / "manifest.csv").write_text("\n".join([lines[0], *lacking[1:]]) + "\n")
    found = describe(folder, None, PARAMS, 1)
    assert block(found.block)["quarantine_limit"] > 0.1  # of four tested clips two lack b


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"id,label": "name,label"}, AmidError, "no column `id`, only name, label, a, b"),
        ({"a/": "b/a/"}, AmidError, "files are of one, b"),
        ({",a,b": ",A,b"}, AmidError, "the column `A` names files"),
        ({"c1,": "c0,"}, AmidError, "ids given more than once"),
    ],
)
def test_what_is_no_data_set_is_told(
    tmp_path: Path, change: dict[str, str], error: type[Exception], words: str
) -> None:
    folder = vectors(tmp_path / "set", {"a": (4,), "b": (5,)})
    text = (folder / "manifest.csv").read_text()
    for old, new in change.items():
        text = text.replace(old, new)
    (folder / "manifest.csv").write_text(text)
    with pytest.raises(error, match=words):
        describe(folder, None, PARAMS, 1)


def test_arrays_of_several_shapes_are_told(tmp_path: Path) -> None:
    folder = vectors(tmp_path / "set", {"a": (4,), "b": (5,)})
    np.save(folder / "a" / "3.npy", np.ones((2, 4), np.float32))
    with pytest.raises(AmidError, match=r"`a`: .* shapes \(2, 4\) of 3.npy, \(4,\) of"):
        describe(folder, None, PARAMS, 1)


# ---------------------------------------------------------------------------------- advice


def clips_of(*counts: int, unlabelled: int = 0) -> pd.DataFrame:
    """A training split with so many clips of each class, and as many to test."""
    rows = [(f"class{n}", "train") for n, count in enumerate(counts) for _ in range(count)]
    rows += [(f"class{n}", "test") for n, count in enumerate(counts) for _ in range(50)]
    rows += [(None, "train")] * unlabelled
    return pd.DataFrame(rows, columns=["label", "split"])


@pytest.mark.parametrize(
    ("table", "encoders", "words"),
    [
        (clips_of(30, 30), {}, []),
        (clips_of(10, 10), {}, []),
        (clips_of(9, 9, 90), {}, ["9 labelled training clips a class are few: clips of all"]),
        (
            clips_of(4, 4, unlabelled=70),
            {},
            ["70 training clips have no label: compare `kd`", "a teacher of few labels may want"],
        ),
        (clips_of(30), {"a": "cnn"}, ["a: the encoder cnn for sequences of this length"]),
    ],
)
def test_what_the_size_of_the_data_suggests(
    table: pd.DataFrame, encoders: dict[str, str], words: list[str]
) -> None:
    *found, last = advice("mine", table, encoders)
    assert last.endswith("dvc exp run -S 'datasets=[mine]' pipelines/headroom/dvc.yaml")
    assert len(found) == len(words)
    for line, word in zip(found, words, strict=True):
        assert line.startswith(word)


def test_advice_follows_the_warnings(tmp_path: Path) -> None:
    folder = vectors(tmp_path / "long", {"a": (326, 3), "b": (5,)})
    told = describe(folder, None, PARAMS, 1).comments
    few, encoder, headroom = [line for line in told if line.startswith("ADVICE: ")]
    assert told[-3:] == [few, encoder, headroom]
    assert "4 labelled training clips a class are few" in few
    assert "a: the encoder cnn" in encoder
    assert "-S 'datasets=[long]'" in headroom


# ---------------------------------------------------------------------------------- the command


@pytest.mark.slow
def test_a_folder_of_films_becomes_a_data_set(tmp_path: Path, warm: Path) -> None:
    """The command itself: manifest and block are written, and the stages take them."""
    films = tmp_path / "my films"
    for label, name in enumerate(("clap", "wave")):
        for number in range(6):
            pictures, sound = activity(label, number, 0.6)
            write_avi(films / name / f"{number}.avi", pictures, sound)
    project = tmp_path / "project"
    before = write_params(project).read_bytes()
    command = [warm / "python", "-m", "stages.describe", str(films)]
    options = {"cwd": project, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    shown = subprocess.run(command, capture_output=True, text=True, **options)
    assert shown.returncode == 0, shown.stderr
    assert "video: video, 0.6 to 0.6 s" in shown.stdout
    assert not (films / "manifest.csv").exists()  # without a name nothing is written
    assert not (project / "dataset" / "films.yaml").exists()
    done = subprocess.run([*command, "films"], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    params = config.load(project / "params.yaml")
    written = project / "dataset" / "films.yaml"
    assert written.read_text() in done.stdout
    assert (project / "params.yaml").read_bytes() == before
    data = params.dataset("films")
    assert (data.target, data.auxiliary) == ("video", ["audio"])
    assert {m: kind for m, (kind, _) in data.extract.items()} == {
        "video": "frame_dct",
        "audio": "log_mel",
    }
    out = tmp_path / "out"
    out.mkdir()
    own.fetch(data.options, out)
    table = own.rows(data.options, out)
    assert len(table) == 12
    assert (table["video_path"] == table["audio_path"]).all()
    # a `-S 'datasets=[films]'` before leaves its name there, and keeps nobody from describing
    change(project / "params.yaml", {"datasets": ["films"]})
    written.rename(project / "films.yaml")
    done = subprocess.run([*command, "films"], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    assert written.read_text() == (project / "films.yaml").read_text()
    written.write_text("# mine\n")
    again = subprocess.run([*command, "films"], capture_output=True, text=True, **options)
    assert again.returncode == 2
    assert "dataset/films.yaml is there already: take another name" in again.stderr
    assert written.read_text() == "# mine\n"


def test_untracked_data_in_the_project_is_told(tmp_path: Path, monkeypatch) -> None:
    folder = vectors(tmp_path / "own", {"a": (4,), "b": (5,)})
    write_params(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    told = "\n".join(describe(Path("own"), None, Path("params.yaml"), 1).comments)
    assert "git does not ignore the 25 files in own/" in told
    (tmp_path / ".git" / "info" / "exclude").write_text("/own/\n")
    found = describe(Path("own"), None, Path("params.yaml"), 1)
    assert "git does not ignore" not in "\n".join(found.comments)
    assert f"folder: {folder}\n" in found.block  # found by --queue and --temp as well
    subprocess.run(["git", "add", "-f", "own"], cwd=tmp_path, check=True)
    assert "folder: own\n" in describe(Path("own"), None, Path("params.yaml"), 1).block
