"""The gate shuts when bytes differ: tried on a toy project, on tables and on folders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from amid.core.reproducible import platform_fingerprint
from amid.errors import AmidError
from amid.maintenance import reproducibility_check
from tests.maintenance.test_run_diff import changed, write

HEAD = "dataset,configuration,seed,student,teacher\n"
SEEDS = HEAD + "avlips,amid,0,72.0,88.0\navlips,amid,1,73.0,89.0\n"
TABLE = (
    "dataset,configuration,student,student_std,teacher,teacher_std\navlips,amid,72.5,0.7,88.5,2.0\n"
)


def git(place: Path, *words: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, *words], cwd=place, check=True)


def lock(md5: str, *, stage: str = "extract@avlips") -> str:
    outs = f"    outs:\n    - path: data/avlips/features\n      md5: {md5}\n"
    return f"schema: '2.0'\nstages:\n  {stage}:\n    cmd: x\n{outs}"


def project(place: Path, platform: str, repository: Path | None = None) -> Path:
    """A project with committed tables and locks, made on `platform`; with its own repository or in
    a larger one."""
    for folder in ("reports", "pipelines/data", "pipelines/train"):
        (place / folder).mkdir(parents=True)
    (place / "reports" / "table4_seeds.csv").write_text(SEEDS)
    (place / "reports" / "table4.csv").write_text(TABLE)
    (place / "reports" / "platform.json").write_text(json.dumps({"platform": platform}))
    (place / "pipelines" / "data" / "dvc.lock").write_text(lock("a" * 32))
    (place / "pipelines" / "train" / "dvc.lock").write_text(lock("b" * 32, stage="amid@avlips"))
    git(repository or place, "init", "-q")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "tables")
    return place


def seed0(place: Path, student: float) -> None:
    row = f"avlips,amid,0,{student},88.0\n"
    (place / "reports" / "table4_seeds.csv").write_text(HEAD + row)


def test_on_the_same_platform_the_committed_numbers_are_to_be_met_exactly(tmp_path: Path) -> None:
    place = project(tmp_path, platform_fingerprint())
    seed0(place, 72.0)
    (place / "pipelines" / "train" / "dvc.lock").write_text(lock("c" * 32, stage="amid@avlips"))
    assert reproducibility_check.unlike_committed(place) == []
    seed0(place, 72.1)
    (place / "pipelines" / "data" / "dvc.lock").write_text(lock("d" * 32))
    row, out = reproducibility_check.unlike_committed(place)
    assert row.startswith("table4_seeds.csv, avlips amid")
    assert out == f"data/avlips/features is {'d' * 32}, committed {'a' * 32}"


PORTABLE = "torch2.13.0+cpu-numpy2.4.6-portable-python3.11"
NATIVE = "torch2.13.0+cpu-numpy2.4.6-native-genuineintel.6.85-python3.11"


def here(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(reproducibility_check, "platform_fingerprint", lambda: platform)


def test_where_bits_are_portable_no_deviation_is_free(tmp_path: Path, monkeypatch) -> None:
    here(monkeypatch, PORTABLE)
    older = PORTABLE.replace("2.13.0", "2.12.0")
    place = project(tmp_path, older)
    seed0(place, 72.0)
    assert reproducibility_check.unlike_committed(place) == []
    seed0(place, 72.1)
    row, told = reproducibility_check.unlike_committed(place)
    assert row.startswith("table4_seeds.csv, avlips amid")
    assert told == f"the committed tables are of {older}, this machine is {PORTABLE}"


@pytest.mark.parametrize(
    ("committed", "platform"),
    [(PORTABLE, NATIVE), (NATIVE, PORTABLE), (NATIVE, f"{NATIVE}-other"), (NATIVE, NATIVE)],
)
def test_a_native_platform_is_compared_by_bits_with_itself_alone(
    tmp_path: Path, monkeypatch, committed: str, platform: str
) -> None:
    here(monkeypatch, platform)
    place = project(tmp_path, committed)
    seed0(place, 72.1)
    assert len(reproducibility_check.unlike_committed(place)) == (committed == platform)


def test_on_a_native_platform_two_deviations_are_free(tmp_path: Path) -> None:
    place = project(tmp_path, NATIVE)
    (place / "pipelines" / "data" / "dvc.lock").write_text(lock("d" * 32))
    for student, found in ((74.5, 0), (70.5, 0), (74.6, 1), (70.4, 1)):  # 0.7 counts as 1
        seed0(place, student)
        assert len(reproducibility_check.unlike_committed(place)) == found, student
    assert reproducibility_check.unlike_committed(place) == [
        "avlips amid: student 70.4, committed 72.5 ± 1.0"
    ]


def test_in_a_folder_of_a_larger_repository_the_committed_tables_are_found(tmp_path: Path) -> None:
    place = project(tmp_path / "research" / "amid", platform_fingerprint(), tmp_path)
    assert reproducibility_check.git_root(place) == (tmp_path, Path("research/amid"))
    seed0(place, 72.0)
    assert reproducibility_check.unlike_committed(place) == []
    seed0(place, 72.1)
    assert "committed" in reproducibility_check.unlike_committed(place)[0]
    one, two = reproducibility_check.clones(tmp_path, Path("research/amid"))
    assert one.place == tmp_path / "one" / "research" / "amid"
    assert two.place.parts[-3:] == ("two", "research", "amid")


def test_without_a_repository_it_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(AmidError, match="lies in no git repository"):
        reproducibility_check.git_root(tmp_path)


def test_tables_without_the_rows_to_compare_shut_it(tmp_path: Path) -> None:
    place = project(tmp_path, NATIVE)
    for text in (HEAD, HEAD + "grid,amid,0,1.0,1.0\n"):
        (place / "reports" / "table4_seeds.csv").write_text(text)
        assert "of which" in reproducibility_check.unlike_committed(place)[0]


def test_files_that_differ_are_named_with_the_first_run(tmp_path: Path) -> None:
    one = write(tmp_path / "one", "seed0")
    two = write(tmp_path / "two", "seed0", changed(1, "train_loss", 9.0))
    for place in (one, two):
        (place / "dvc.lock").write_text("same")
    assert reproducibility_check.differing_files(one, one) == []
    assert reproducibility_check.differing_files(one, two) == [
        "1 files differ: runs/amid/seed0/record.json",
        "first run to differ: amid/seed0: epoch 2, train_loss: 2.0 and 9.0",
    ]
    (two / "data").mkdir()
    (two / "data" / "more").write_text("")
    assert reproducibility_check.differing_files(one, two)[0].startswith(
        "2 files differ: data/more, runs/"
    )


TOY = """\
stages:
  made:
    cmd: echo {what} > reports/made.txt && echo $TZ > ignored.txt
    outs: [reports/made.txt]
"""


def toy(place: Path, what: str, repository: Path | None = None) -> Path:
    (place / "reports").mkdir(parents=True)
    (place / "reports" / "kept").write_text("")
    (place / "dvc.yaml").write_text(TOY.format(what=what))
    (place / "params.yaml").write_text("workers: 0\n")
    git(repository or place, "init", "-q")
    words = ["init", "-q", *(["--subdir"] if repository else [])]
    subprocess.run([sys.executable, "-m", "dvc", *words], cwd=place, check=True)
    git(place, "add", "-A")
    git(place, "commit", "-qm", "toy")
    return place


@pytest.mark.slow
def test_a_stage_that_sees_its_time_zone_shuts_the_gate(tmp_path: Path) -> None:
    source = toy(tmp_path / "source", "$TZ")
    one, two = reproducibility_check.clones(tmp_path)
    reproducibility_check.reproduce_all(source, (one, two), profile=())
    assert reproducibility_check.differing_files(one.place, two.place) == [
        "2 files differ: dvc.lock, reports/made.txt"
    ]
    assert reproducibility_check.dvc_not_clean(one.place) == []
    (one.place / "reports" / "made.txt").write_text("touched")
    status, again = reproducibility_check.dvc_not_clean(one.place)
    assert "dvc status is not clean" in status
    assert "a second dvc repro runs stages" in again


@pytest.mark.slow
def test_a_project_in_a_larger_repository_is_reproduced_in_its_folder(tmp_path: Path) -> None:
    source = toy(tmp_path / "source" / "research" / "amid", "same", tmp_path / "source")
    both = reproducibility_check.clones(tmp_path, Path("research/amid"))
    reproducibility_check.reproduce_all(source, both, profile=())
    for clone in both:
        assert (clone.place / "reports" / "made.txt").read_text() == "same\n"
    places = [clone.place for clone in both]
    assert reproducibility_check.not_clean(places) == []
    (places[1] / "reports" / "made.txt").write_text("touched")
    found = reproducibility_check.not_clean(places)
    assert [str(places[1]) in line for line in found] == [True, True]


@pytest.mark.slow
def test_a_clone_in_which_dvc_fails_is_one_error(tmp_path: Path) -> None:
    source = toy(tmp_path / "source", "x; false")
    with pytest.raises(AmidError, match=r"(?s)dvc failed in .*reproduce 'made'"):
        reproducibility_check.reproduce(
            source, reproducibility_check.clones(tmp_path)[0], profile=()
        )
