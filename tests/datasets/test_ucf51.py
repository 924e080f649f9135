"""UCF51: counts, groups, clips without sound, and what may be wrong with folders and archives."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amid import config
from amid.data.manifest import check_manifest
from amid.datasets import problems, ucf51
from amid.datasets.ucf51 import CLASSES, Options
from amid.errors import AmidError, ConfigError
from amid.extractors import features
from amid.sources.archives import unpack
from tests.media.clips import activity, write_avi
from tests.params import put_params, read_params

CHOSEN = ("Archery", "Bowling", "HandstandPushups")
GROUPS = 6  # the first tests
NPY = re.compile(r"/v_[^/]*\.npy$")


def file_of(label: str, group: int, number: int = 1) -> str:
    written = "HandStandPushups" if label == "HandstandPushups" else label
    return f"{label}/v_{written}_g{group:02d}_c{number:02d}.avi"


def write_lists(folder: Path, train: list[str], test: list[str]) -> None:
    """The official lists of split 1: a number after each training clip, CR LF."""
    folder.mkdir(parents=True)
    numbered = [f"{name} {1 + n % 101}" for n, name in enumerate(train)]
    (folder / "trainlist01.txt").write_bytes("\r\n".join([*numbered, ""]).encode())
    (folder / "testlist01.txt").write_bytes("\r\n".join([*test, ""]).encode())


def tree(folder: Path, chosen: tuple[str, ...] = CHOSEN, clips: int = 1) -> Path:
    """UCF-101/ and ucfTrainTestlist/ with `clips` real clips a class and group; one class more."""
    train, test = [], []
    for label in (*chosen, "JumpRope"):  # the last has no sound, and is none of the 51
        for group in range(1, GROUPS + 1):
            for number in range(1, clips + 1):
                name = file_of(label, group, number)
                (test if group == 1 else train).append(name)
                pictures, sound = activity(
                    CHOSEN.index(label) if label in CHOSEN else 0, group, seconds=0.2
                )
                path = folder / "UCF-101" / name
                write_avi(path, pictures, None if label == "JumpRope" else sound)
    write_lists(folder / "ucfTrainTestlist", train, test)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree(tmp_path_factory.mktemp("ucf") / "source")


def made(source: Path, out: Path, **values) -> tuple[pd.DataFrame, dict, list[str]]:
    options = Options(recordings=str(source), **values)
    lines: list[str] = []
    record = ucf51.fetch(options, out, workers=2, echo=lines.append)
    frame = ucf51.rows(options, out)
    check_manifest(frame)
    return frame, record, lines


def copied(source: Path, target: Path) -> Path:
    """The tree a second time, to be changed."""
    for path in source.rglob("*"):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    return target


# ---------------------------------------------------------------------------------- the manifest


def test_the_classes_are_51_and_in_order() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 51
    assert list(CLASSES) == sorted(CLASSES)


def test_counts_stand_beside_the_expected_ones(source: Path, tmp_path: Path) -> None:
    frame, record, lines = made(source, tmp_path / "out")
    assert sorted(frame["label"].unique()) == sorted(CHOSEN)
    assert record["counts"]["present"] == {"train": 15, "test": 3, "all": 18}
    assert record["counts"]["expected"] == {"train": 4901, "test": 1944, "all": 6845}
    assert lines == [
        "ucf51, split 1: found 15 train + 3 test = 18 clips of 3 classes; "
        "expected 4901 train + 1944 test = 6845."
    ]
    assert set(frame.loc[frame["split"] == "test", "group"]) == {"g01"}
    lost = problems(ucf51, Options(recordings=str(source)), tmp_path / "out")
    assert len(lost) == 0
    assert list(lost.columns) == ["id", "modality", "reason", "detail"]


def test_paths_lead_to_the_same_file_and_name_nothing_of_the_machine(
    source: Path, tmp_path: Path
) -> None:
    frame, record, _ = made(source, tmp_path / "out")
    row = frame[frame["label"] == "HandstandPushups"].iloc[0]
    assert row["id"].startswith("v_HandStandPushups_g")
    assert row["video_path"] == row["audio_path"]
    file = tmp_path / "out" / row["video_path"]
    name = Path(row["video_path"]).relative_to("raw")
    assert file.samefile(source / name)  # a hard link: nothing is copied on one disk
    assert not file.is_symlink()
    assert str(source) not in str(record)
    assert "recordings" not in Options(recordings=str(source)).model_dump()
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"raw"}


def test_a_copy_is_made_where_no_hard_link_can_be(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    frame, _, _ = made(source, tmp_path / "out")
    name = Path(frame["video_path"][0])
    copy = tmp_path / "out" / name
    assert copy.read_bytes() == (source / name.relative_to("raw")).read_bytes()
    assert not copy.samefile(source / name.relative_to("raw"))


@pytest.mark.parametrize("seed", range(8))
def test_groups_are_never_torn(source: Path, tmp_path: Path, seed: int) -> None:
    frame, _, _ = made(source, tmp_path / "out", validation=0.4, seed=seed)
    groups = frame.groupby("group")["split"].nunique()
    assert (groups == 1).all()
    assert (frame.groupby("group")["fold"].nunique() == 1).all()
    assert frame.loc[frame["split"] == "validation", "group"].nunique() == 2  # 0.4 of 5
    assert (frame["split"] == "test").sum() == 3  # the official test clips, whatever is drawn


def test_validation_may_be_nothing(source: Path, tmp_path: Path) -> None:
    frame, _, _ = made(source, tmp_path / "out", validation=0.0)
    assert sorted(frame["split"].unique()) == ["test", "train"]


def test_the_draw_depends_on_the_seed_alone(source: Path, tmp_path: Path) -> None:
    drawn = [made(source, tmp_path / f"{n}", seed=n % 4)[0]["split"].tolist() for n in range(8)]
    assert drawn[:4] == drawn[4:]
    assert len({tuple(split) for split in drawn}) > 1


# ---------------------------------------------------------------------------------- lost clips


def test_clips_without_sound_missing_and_broken_ones_are_problems(
    source: Path, tmp_path: Path
) -> None:
    changed = copied(source, tmp_path / "changed")
    videos = changed / "UCF-101"
    before, _, _ = made(source, tmp_path / "before")
    write_avi(videos / file_of("Archery", 2), activity(0, 0, 0.2)[0])
    (videos / file_of("Archery", 3)).unlink()
    (videos / file_of("Bowling", 4)).write_bytes(b"")
    (videos / file_of("Bowling", 5)).write_text("<html>404</html>")
    whole = (videos / file_of("Bowling", 6)).read_bytes()
    (videos / file_of("Bowling", 6)).write_bytes(whole[: len(whole) // 2])
    frame, record, lines = made(changed, tmp_path / "out")
    lost = ucf51.problems(Options(), tmp_path / "out").set_index("id")
    assert lost["reason"].to_dict() == {
        "v_Archery_g02_c01": "no_sound",
        "v_Archery_g03_c01": "missing_file",
        "v_Bowling_g04_c01": "empty_file",
        "v_Bowling_g05_c01": "not_media",
        "v_Bowling_g06_c01": "truncated",
    }
    assert lost.loc["v_Archery_g02_c01", "modality"] == "audio"
    assert "1 no_sound" in lines[0]
    assert record["counts"]["present"]["all"] == 17
    assert record["counts"]["usable"]["all"] == len(frame) == 13
    expected = before[~before["id"].isin(lost.index)].reset_index(drop=True)
    pd.testing.assert_frame_equal(frame, expected)  # the others' draws did not move


# ---------------------------------------------------------------------------------- mistakes


def test_an_absent_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(AmidError, match=r"UCF-101 does not exist: put the clips") as caught:
        made(tmp_path / "nowhere", tmp_path / "out")
    assert "\n" not in str(caught.value)
    (tmp_path / "half" / "UCF-101").mkdir(parents=True)
    with pytest.raises(AmidError, match="ucfTrainTestlist does not exist: put the official lists"):
        made(tmp_path / "half", tmp_path / "out")


def test_lists_without_their_clips_are_told(tmp_path: Path) -> None:
    (tmp_path / "UCF-101").mkdir()
    write_lists(tmp_path / "ucfTrainTestlist", [file_of("Archery", 8)], [file_of("Archery", 1)])
    with pytest.raises(AmidError, match="holds none of the 2 clips of the lists, such as Archery/"):
        made(tmp_path, tmp_path / "out")
    with pytest.raises(AmidError, match=r"trainlist02\.txt is missing"):
        made(tmp_path, tmp_path / "out", split=2)


def test_a_class_that_is_wholly_absent_is_told(source: Path, tmp_path: Path) -> None:
    place = copied(source, tmp_path / "source")
    videos = place / "UCF-101"
    renamed, gone = CHOSEN[:2]
    (videos / renamed).rename(videos / renamed.upper())
    shutil.rmtree(videos / gone)
    _, _, lines = made(place, tmp_path / "out")
    of_renamed, of_gone = (
        next(line for line in lines if f"the class {name} is wholly absent" in line)
        for name in (renamed, gone)
    )
    assert sum("wholly absent" in line for line in lines) == 2
    there = file_of(renamed, 1).replace(f"{renamed}/", f"{renamed.upper()}/")
    assert f"none of its {GROUPS} clips is there" in of_renamed
    assert f"{there} should be called {file_of(renamed, 1)}, and so for the others" in of_renamed
    assert "should be called" not in of_gone


@pytest.mark.parametrize(
    "line",
    [
        "../../etc/v_Archery_g08_c01.avi 3",
        "Archery/v_Bowling_g08_c01.avi 3",
        "Archery/v_Archery_g08_c01.mp4 3",
        "Archery/v_Archery_g08_c01.avi three",
        "<html>",
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "UCF-101").mkdir()
    write_lists(tmp_path / "ucfTrainTestlist", [], [file_of("Archery", 1)])
    (tmp_path / "ucfTrainTestlist" / "trainlist01.txt").write_text(line + "\n")
    with pytest.raises(AmidError, match=r"trainlist01.txt, line 1: .* is not like Archery/"):
        made(tmp_path, tmp_path / "out")


def test_a_clip_on_both_lists_is_refused(tmp_path: Path) -> None:
    (tmp_path / "UCF-101").mkdir()
    write_lists(tmp_path / "ucfTrainTestlist", [file_of("Archery", 8)], [file_of("Archery", 8)])
    with pytest.raises(AmidError, match=r"testlist01.txt, line 1: .* a second time"):
        made(tmp_path, tmp_path / "out")


def test_what_was_there_stays_after_a_mistake(source: Path, tmp_path: Path) -> None:
    made(source, tmp_path / "out")
    with pytest.raises(AmidError):
        made(tmp_path / "nowhere", tmp_path / "out")
    assert len(ucf51.rows(Options(), tmp_path / "out")) == 18


def test_sums_are_of_known_files() -> None:
    with pytest.raises(ValueError, match=r"none of the files: UCF101\.rar"):
        Options(sha256={"UCF102.rar": None})
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        Options(sha256={"UCF101.rar": "abc"})


# ---------------------------------------------------------------------------------- the archives

UNRAR = """#!/bin/sh
# Stands for unrar: the listing is in a file beside it, the archive is a zip.
here=$(dirname "$0")
if [ "$1" = lt ]; then cat "$here/listing"; exit 0; fi
for last; do :; done
shift; while [ "$1" != -- ]; do shift; done
exec {python} -m zipfile -e "$2" "$last"
"""


def listing(entries: dict[str, tuple[str, int]]) -> str:
    """As `unrar lt` prints it."""
    text = "\nUNRAR 6.21 freeware\n\nArchive: UCF101.rar\nDetails: RAR 4\n\n"
    for name, (kind, size) in entries.items():
        text += f"        Name: {name}\n        Type: {kind}\n        Size: {size}\n\n"
    return text


@pytest.fixture
def mirror(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path, dict[str, tuple[str, int]]]:
    """A folder with both archives, one with a program `unrar`, and what that one will list."""
    import sys

    folder, programs = tmp_path / "mirror", tmp_path / "programs"
    folder.mkdir()
    programs.mkdir()
    entries: dict[str, tuple[str, int]] = {"UCF-101": ("Directory", 0)}
    with zipfile.ZipFile(folder / ucf51.VIDEOS, "w") as file:
        for path in sorted((source / "UCF-101").rglob("*.avi")):
            name = path.relative_to(source).as_posix()
            file.write(path, name)
            entries[name] = ("File", path.stat().st_size)
    with zipfile.ZipFile(folder / ucf51.LISTS, "w") as file:
        for path in (source / "ucfTrainTestlist").iterdir():
            file.write(path, f"ucfTrainTestlist/{path.name}")
    program = programs / "unrar"
    program.write_text(UNRAR.replace("{python}", sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (programs / "listing").write_text(listing(entries))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return folder, programs, entries


def fetched(mirror: Path, out: Path, **values) -> dict:
    return ucf51.fetch(Options(**values), out, mirror=str(mirror), cache=out.parent / "archives")


def test_archives_are_unpacked_to_the_same_manifest(mirror, source: Path, tmp_path: Path) -> None:
    folder, _, _ = mirror
    record = fetched(folder, tmp_path / "out")
    expected, _, _ = made(source, tmp_path / "other")
    pd.testing.assert_frame_equal(ucf51.rows(Options(), tmp_path / "out"), expected)
    assert [file["name"] for file in record["files"]] == [ucf51.VIDEOS, ucf51.LISTS]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"raw"}
    assert not list((tmp_path / "out").rglob("*JumpRope*"))


def test_another_archive_than_the_pinned_one_is_refused(mirror, tmp_path: Path) -> None:
    folder, _, _ = mirror
    with pytest.raises(AmidError, match=r"UCF101\.rar in the mirror folder .* wrong sha256"):
        fetched(folder, tmp_path / "out", sha256={ucf51.VIDEOS: "0" * 64})


def test_without_a_program_for_rar_it_says_which(
    mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    sentence = r"none is on the PATH: install one of unrar, 7z, 7zz, bsdtar, or unpack it yourself"
    with pytest.raises(AmidError, match=sentence):
        fetched(mirror[0], tmp_path / "out")
    assert not (tmp_path / "out" / "raw").exists()


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("/etc/cron.d/x", "File", "absolute path"),
        ("C:/x", "File", "absolute path"),
        ("UCF-101/../../x.avi", "File", "climbs out"),
        ("UCF-101\\..\\x.avi", "File", "climbs out"),
        ("UCF-101/link.avi", "Unix symbolic link", "link"),
        ("UCF-101/hard.avi", "Hard link", "link"),
        ("UCF-101/a\x1b[2J.avi", "File", "no usable name"),
    ],
)
def test_a_hostile_listing_refuses_the_archive(
    mirror, tmp_path: Path, name: str, kind: str, words: str
) -> None:
    folder, programs, entries = mirror
    (programs / "listing").write_text(listing({**entries, name: (kind, 1)}))
    with pytest.raises(AmidError, match=rf"UCF101\.rar is refused: its entry .*{words}"):
        fetched(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_what_the_listing_hides_is_refused_after_all(mirror, tmp_path: Path) -> None:
    folder, programs, entries = mirror
    entries.popitem()
    (programs / "listing").write_text(listing(entries))
    with pytest.raises(AmidError, match="is not what the listing of the archive says"):
        fetched(folder, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_program_that_fails_is_quoted(mirror, tmp_path: Path) -> None:
    folder, programs, _ = mirror
    (programs / "unrar").write_text("#!/bin/sh\necho 'Cannot open UCF101.rar' >&2\nexit 6\n")
    sentence = r"cannot be read \(unrar: exit status 6, Cannot open UCF101\.rar\)"
    with pytest.raises(AmidError, match=sentence):
        fetched(folder, tmp_path / "out")


def test_frames_of_a_made_clip_are_what_they_should_be() -> None:
    pictures, sound = activity(2, 0, 0.4)
    assert pictures.shape == (10, 48, 64, 3)
    assert sound.shape == (6400,)
    assert np.abs(sound).max() <= 1


# ---------------------------------------------------------------------------------- vectors


def vectors_of(
    path: Path, clips: list[str], changed: dict[str, bytes] | None = None
) -> dict[str, np.ndarray]:
    """Write an archive like CCL's, with the companion files of a Mac; returns its values."""
    values = {}
    with tarfile.open(path, "w:gz") as archive:

        def add(name: str, content: bytes) -> None:
            entry = tarfile.TarInfo(f"audiocnn14embed512_features/{name}")
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))

        add("._BalanceBeam", b"Mac OS X")
        for number, clip in enumerate(clips):
            buffer = BytesIO()
            values[clip] = np.full(512, number, np.float32)
            np.save(buffer, values[clip])
            folder = clip.split("_")[1]
            add(f"{folder}/._{clip}.npy", b"Mac OS X")
            add(f"{folder}/{clip}.npy", (changed or {}).get(clip, buffer.getvalue()))
        add("Archery/v_Archery_g99_c01.npy", b"of no clip on the lists")
    return values


def all_clips() -> list[str]:
    return [Path(file_of(label, group)).stem for label in CHOSEN for group in range(1, GROUPS + 1)]


def test_published_vectors_are_joined_by_the_clips_names(source: Path, tmp_path: Path) -> None:
    changed = copied(source, tmp_path / "ucf")
    silent = changed / "UCF-101" / file_of("Archery", 2)
    write_avi(silent, activity(0, 0, 0.2)[0])  # its film has no sound, and need not have
    clips = [clip for clip in all_clips() if clip != "v_Bowling_g04_c01"]
    values = vectors_of(changed / ucf51.VECTORS, clips)
    before, _, _ = made(source, tmp_path / "before")
    frame, record, lines = made(changed, tmp_path / "out", sound="vectors")
    expected = before[before["id"] != "v_Bowling_g04_c01"].reset_index(drop=True)
    rest = [name for name in frame if name != "audio_path"]
    pd.testing.assert_frame_equal(frame[rest], expected[rest])
    for clip, path in zip(frame["id"], frame["audio_path"], strict=True):
        read = features.read(tmp_path / "out" / path, features.Options(dims=512))
        assert (read == values[clip]).all()
    assert len(list((tmp_path / "out" / "raw" / "vectors").iterdir())) == len(clips)
    lost = problems(ucf51, Options(), tmp_path / "out")
    assert lost[["id", "modality", "reason"]].values.tolist() == [
        ["v_Bowling_g04_c01", "audio", "no_sound"]
    ]
    assert "1 no_sound" in lines[-1]
    assert [file["name"] for file in record["files"]] == [ucf51.VECTORS]


def test_vectors_come_from_the_mirror_where_the_recordings_lack_them(
    source: Path, tmp_path: Path
) -> None:
    (tmp_path / "mirror").mkdir()
    vectors_of(tmp_path / "mirror" / ucf51.VECTORS, all_clips())
    options = Options(recordings=str(source), sound="vectors")
    out = tmp_path / "out"
    ucf51.fetch(options, out, mirror=str(tmp_path / "mirror"), echo=lambda line: None)
    assert len(ucf51.rows(options, out)) == 18
    with tarfile.open(tmp_path / "mirror" / ucf51.VECTORS, "w:gz"):
        pass
    with pytest.raises(AmidError, match="holds no vector of a clip on the lists, such as v_Arch"):
        ucf51.fetch(options, out, mirror=str(tmp_path / "mirror"), echo=lambda line: None)


@pytest.mark.parametrize(
    ("sound", "audio", "message"),
    [
        ("vectors", {"extractor": "log_mel"}, "must be {extractor: features, dims: 512}"),
        ("vectors", {"extractor": "features", "dims": 64}, "must be {extractor: features"),
        ("track", {"extractor": "features", "dims": 512}, "must be 'vectors'"),
    ],
)
def test_the_extractor_has_to_fit_the_sound(
    sound: str, audio: dict, message: str, tmp_path: Path
) -> None:
    values = read_params()
    values["data"]["ucf51"]["options"]["sound"] = sound
    values["data"]["ucf51"]["extract"]["audio"] = audio
    put_params(tmp_path, values)
    with pytest.raises(ConfigError, match=message):
        config.load(tmp_path / "params.yaml").dataset("ucf51")


def test_the_true_archive_of_vectors(shared: Path, tmp_path: Path) -> None:
    """6,837 clips of the 51 classes have a vector of 512 finite values."""
    archive = shared / "data" / "ucf51_sound" / ucf51.VECTORS
    if not archive.is_file():
        pytest.skip("the archive is not here")
    place = lambda name: name.rpartition("/")[2] if NPY.search(name) else None  # noqa: E731
    paths = unpack(archive, tmp_path / "vectors", place=place)
    assert len(paths) == 6837
    names = [ucf51.NAME.fullmatch(path.removesuffix(".npy")) for path in paths]
    assert {name["label"].lower() for name in names} == {label.lower() for label in CLASSES}
    read = features.read(tmp_path / "vectors" / paths[0], features.Options(dims=512))
    assert read.shape == (512,)
