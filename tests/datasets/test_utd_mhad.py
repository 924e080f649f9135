"""UTD-MHAD: archives of its makers' layout, files that are not as they should be, the splits."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.io import savemat

from amid.data.manifest import check_manifest
from amid.datasets import problems, utd_mhad
from amid.datasets.utd_mhad import ACTIONS, Options
from amid.errors import AmidError
from amid.extractors import features

VARIABLES = {"inertial": "d_iner", "skeleton": "d_skel"}


def values_of(clip: str, modality: str) -> np.ndarray:
    """Numbers that depend on clip and modality, at the hip 1 metre aside of everything else."""
    action, subject, trial = (int(part[1:]) for part in clip.split("_"))
    rng = np.random.default_rng([action, subject, trial, len(modality)])
    if modality == "inertial":
        return action + rng.normal(0, 0.3, (40 + trial, 6))
    return action / 10 + rng.normal(0, 0.03, (20, 3, 24 + trial))


def mat(values: object, variable: str) -> bytes:
    buffer = BytesIO()
    savemat(buffer, {variable: values})
    return buffer.getvalue()


def mirror_of(
    folder: Path, clips: list[str], changed: dict[str, bytes | None] | None = None
) -> Path:
    """A folder with both archives; `changed`: name of a file -> other bytes, None to leave out."""
    folder.mkdir(parents=True)
    for modality, variable in VARIABLES.items():
        name = modality.capitalize()
        with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(f"{name}/{name}_order.txt", "1. head;")
            file.writestr(f"__MACOSX/{name}/._{clips[0]}_{modality}.mat", "Mac OS X")
            for clip in clips:
                place = f"{clip}_{modality}.mat"
                content = (changed or {}).get(place, mat(values_of(clip, modality), variable))
                if content is not None:
                    file.writestr(f"{name}/{place}", content)
    return folder


CLIPS = [f"a{a}_s{s}_t1" for a in (1, 2, 11, 27) for s in range(1, 9)]


def fetched(mirror: Path, out: Path, workers: int = 1, **options: object) -> dict:
    lines: list[str] = []
    found = utd_mhad.fetch(
        Options(**options), out, mirror=str(mirror), workers=workers, echo=lines.append
    )
    return {**found, "lines": lines}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("utd")
    fetched(mirror_of(folder / "mirror", CLIPS), folder / "utd_mhad")
    return folder / "utd_mhad"


# ------------------------------------------------------------------------------- the rows


def test_one_row_a_clip_with_its_action_and_subject(small: Path) -> None:
    manifest = utd_mhad.rows(Options(), small)
    check_manifest(manifest)
    assert manifest["id"].tolist() == sorted(CLIPS)
    row = manifest.set_index("id").loc["a11_s6_t1"]
    assert row["label"] == "draw_triangle"
    assert (row["group"], row["fold"], row["split"]) == ("s6", 5, "test")
    assert row["skeleton_path"] == "raw/skeleton/a11_s6_t1.npy"
    assert (ACTIONS[0], ACTIONS[26], len(set(ACTIONS))) == ("swipe_left", "squat", 27)
    assert manifest.groupby("fold")["group"].nunique().tolist() == [1] * 8
    assert {path.name for path in (small / "raw").iterdir()} == {
        *("inertial", "skeleton", "problems.json")
    }


def test_subjects_are_split_as_asked(small: Path) -> None:
    def split(**options: object) -> dict[str, str]:
        manifest = utd_mhad.rows(Options(**options), small)
        return (
            manifest.groupby("split")["group"].apply(lambda of: " ".join(sorted(set(of)))).to_dict()
        )

    test = "s2 s4 s6 s8"
    assert split() == {"train": "s1 s3 s5", "validation": "s7", "test": test}
    assert split(validation_subjects=[]) == {"train": "s1 s3 s5 s7", "test": test}
    assert split(train_subjects=[1, 2], validation_subjects=[1]) == {
        "train": "s2",
        "validation": "s1",
        "test": "s3 s4 s5 s6 s7 s8",
    }


def test_steps_come_first_and_joints_are_flattened_about_the_hip(small: Path) -> None:
    clip = "a2_s3_t1"
    inertial = np.load(small / "raw" / "inertial" / f"{clip}.npy")
    assert inertial.dtype == np.float32
    assert inertial == pytest.approx(values_of(clip, "inertial"), rel=1e-6)
    joints = values_of(clip, "skeleton").transpose(2, 0, 1)  # (T, 20, 3)
    expected = (joints - joints[:, 3:4]).reshape(len(joints), 60)
    skeleton = np.load(small / "raw" / "skeleton" / f"{clip}.npy")
    assert skeleton == pytest.approx(expected, abs=1e-6)
    assert (skeleton[:, 9:12] == 0).all()  # the hip's centre is the fourth joint
    read = features.read(
        small / "raw" / "skeleton" / f"{clip}.npy", features.Options(dims=60, sequence=True)
    )
    assert read.shape == (25, 60)


def test_joints_may_stay_as_the_camera_saw_them(tmp_path: Path) -> None:
    fetched(mirror_of(tmp_path / "mirror", CLIPS[:1]), tmp_path / "out", origin="camera")
    joints = values_of(CLIPS[0], "skeleton").transpose(2, 0, 1).reshape(-1, 60)
    assert np.load(tmp_path / "out" / "raw" / "skeleton" / f"{CLIPS[0]}.npy") == pytest.approx(
        joints, rel=1e-6
    )


def test_workers_and_repeats_give_equal_bytes(tmp_path: Path) -> None:
    mirror, outcomes = mirror_of(tmp_path / "mirror", CLIPS[:6]), []
    for workers in (1, 3, 3):
        out = tmp_path / f"out{workers}"
        found = fetched(mirror, out, workers)
        files = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
        outcomes.append((json.dumps(found["counts"]), files))
    assert outcomes[0] == outcomes[1] == outcomes[2]


# ----------------------------------------------------------------------------- bad files

GOOD = mat(values_of("a1_s1_t1", "inertial"), "d_iner")
BAD: dict[str, tuple[Callable[[], bytes | None], str, str]] = {
    "empty": (lambda: b"", "empty_file", "has no bytes"),
    "page": (lambda: b"<html>" * 90, "not_media", "is not a MATLAB file of version 5"),
    "hdf5": (lambda: b"\x89HDF\r\n\x1a\n" * 90, "not_media", "is not a MATLAB file of version 5"),
    "cut": (lambda: GOOD[: len(GOOD) // 2], "corrupt", "cannot be read"),
    "head": (lambda: GOOD[:100], "corrupt", "cannot be read"),
    "noise": (lambda: GOOD[:128] + b"\xff" * 3000, "corrupt", "cannot be read"),
    "other": (lambda: mat(np.ones((9, 6)), "x"), "wrong_type", "holds 'x', not d_iner"),
    "cell": (
        lambda: mat(np.array([[1], "a"], dtype=object), "d_iner"),
        "wrong_type",
        "is of type cell, not of real numbers",
    ),
    "struct": (lambda: mat({"a": 1.0}, "d_iner"), "wrong_type", "is of type struct"),
    "complex": (lambda: mat(np.ones((9, 6)) * 1j, "d_iner"), "wrong_type", "complex128"),
    "wide": (lambda: mat(np.ones((9, 7)), "d_iner"), "wrong_shape", "(9, 7), not (steps, 6)"),
    "none": (lambda: mat(np.ones((0, 6)), "d_iner"), "wrong_shape", "(0, 6), not (steps, 6)"),
    "nan": (
        lambda: mat(np.full((2, 6), np.nan), "d_iner"),
        "not_finite",
        "12 of 12 values that are NaN or infinite",
    ),
    "absent": (lambda: None, "missing_file", "Inertial.zip has no such clip"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_sentence_and_no_row(case: str, tmp_path: Path) -> None:
    make, reason, detail = BAD[case]
    mirror = mirror_of(tmp_path / "mirror", CLIPS[:3], {"a1_s1_t1_inertial.mat": make()})
    found = fetched(mirror, tmp_path / "out")
    lost = problems(utd_mhad, Options(), tmp_path / "out")
    assert lost[["id", "modality", "reason"]].values.tolist() == [["a1_s1_t1", "inertial", reason]]
    assert detail in lost["detail"][0]
    assert "\n" not in lost["detail"][0]
    assert utd_mhad.rows(Options(), tmp_path / "out")["id"].tolist() == CLIPS[1:3]
    assert found["counts"] == {"clips": 3, "expected": 861, "usable": 2}
    assert found["lines"][-1] == f"utd_mhad: 2 clips, 861 in the full release; 1 {reason}."


def test_archives_of_other_contents_are_refused(tmp_path: Path) -> None:
    mirror = mirror_of(tmp_path / "mirror", CLIPS[:2])
    with zipfile.ZipFile(mirror / "Skeleton.zip", "w") as file:
        file.writestr("Skeleton/readme.txt", "no clip")
    with pytest.raises(AmidError, match=r"holds no file like a1_s1_t1_skeleton.mat: check"):
        fetched(mirror, tmp_path / "out")
    with zipfile.ZipFile(mirror / "Skeleton.zip", "w") as file:
        file.writestr("Skeleton/a28_s1_t1_skeleton.mat", b"")
    with pytest.raises(AmidError, match=r"a28_s1_t1_skeleton.mat', which is not called like"):
        fetched(mirror, tmp_path / "out")
    (mirror / "Inertial.zip").unlink()
    with pytest.raises(AmidError, match=r"Inertial.zip"):
        fetched(mirror, tmp_path / "out")
    assert not (tmp_path / "out" / "raw").exists()


def test_another_archive_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    mirror = mirror_of(tmp_path / "mirror", CLIPS[:2])
    with pytest.raises(AmidError, match=r"Inertial\.zip .*sha256"):
        fetched(mirror, tmp_path / "out", sha256={"Inertial.zip": "0" * 64})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train_subjects": [1, 1]}, "stands twice"),
        ({"train_subjects": [9]}, "less than or equal to 8"),
        ({"train_subjects": list(range(1, 9))}, "none is left to test on"),
        ({"validation_subjects": [2]}, "must be among train_subjects"),
        ({"train_subjects": [1], "validation_subjects": [1]}, "no subject to train on"),
        ({"sha256": {"Depth.zip": None}}, "none of the files: Inertial.zip, Skeleton.zip"),
        ({"sha256": {"Inertial.zip": "abc"}}, "not 64 hexadecimal digits"),
    ],
)
def test_options_that_cannot_be(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Options(**values)


# ------------------------------------------------------------------------ the true archives


def test_the_true_archives(shared: Path, tmp_path: Path) -> None:
    """861 clips, as the release's description counts them, and the numbers of one of them."""
    mirror = shared / "data" / "utd_mhad"
    if not mirror.is_dir():
        pytest.skip("the archives are not here")
    found = fetched(mirror, tmp_path / "out", workers=2)
    assert found["counts"] == {"clips": 861, "expected": 861, "usable": 861}
    manifest = utd_mhad.rows(Options(), tmp_path / "out")
    counts = manifest["split"].value_counts().to_dict()
    assert counts == {"test": 430, "train": 323, "validation": 108}
    assert manifest["label"].nunique() == 27
    steps = [len(np.load(tmp_path / "out" / path)) for path in manifest["inertial_path"]]
    assert (min(steps), max(steps)) == (107, 326)
    assert pd.Series(manifest["fold"]).value_counts().sort_index().tolist() == [
        *(107, 108, 108, 108, 108, 107, 108, 107)
    ]
