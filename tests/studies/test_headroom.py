"""Headroom by predictions that are written out: who is right about which clip."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from amid.data.splits import features_fingerprint
from amid.studies import headroom, rendering
from tests.small import small_params, write_data

LABELS = [0] * 10


def run(right: str, head: str = "student") -> SimpleNamespace:
    """A run that is right about the clips marked 1."""
    predictions = {"best": {head: [0 if mark == "1" else 1 for mark in right]}}
    return SimpleNamespace(predictions=predictions, labels=LABELS, selected_on=head)


def made(*seeds: tuple[str, str, str]) -> dict:
    student, teacher, sound = zip(*seeds, strict=True)
    return {
        "toy": {
            "student": [run(right) for right in student],
            "teacher": [run(right, "teacher") for right in teacher],
            "auxiliary/sound": [run(right) for right in sound],
        }
    }


def test_the_bound_is_what_the_teacher_adds_beyond_another_seed() -> None:
    records = made(
        # student       teacher       sound
        ("1111100000", "1111011110", "0000011111"),
        ("1111010000", "1111111100", "0000000000"),
    )
    table = headroom.headroom(records).set_index("network")
    assert list(table.index) == ["student", "student, next seed", "teacher", "auxiliary/sound"]
    assert table["accuracy"].tolist() == [50, 50, 80, 25]
    shares = ["both", "only_other", "only_student", "neither"]
    assert table.loc["student, next seed", shares].tolist() == [40, 10, 10, 40]
    assert table.loc["teacher", shares].tolist() == [45, 35, 5, 15]
    assert table.loc["auxiliary/sound", shares].tolist() == [0, 25, 50, 25]
    assert (table["bound"] == 25).all()  # 35 - 10
    text = rendering.markdown(table.reset_index(), headroom.LAYOUT)
    assert "## toy, 2 seeds: distillation can gain at most about 25 points here" in text
    assert "| teacher | 80.0 ± 0.0 | 45.0 | 35.0 | 5.0 | 15.0 |" in text


def test_a_teacher_that_knows_no_more_than_another_student_leaves_nothing() -> None:
    records = made(("1100", "0110", "0000"), ("0110", "1100", "0000"))
    for runs in records["toy"].values():
        for one in runs:
            one.labels = LABELS[:4]
    assert (headroom.headroom(records)["bound"] == 0).all()


def test_a_single_seed_has_no_other_to_compare_with() -> None:
    table = headroom.headroom(made(("1110000000", "1111111000", "1000000000")))
    assert "student, next seed" not in set(table["network"])
    assert table["bound"].tolist() == [40, 40, 40]


def test_the_runs_are_those_of_the_tables_and_each_modality_alone(tmp_path: Path) -> None:
    data = write_data(tmp_path / "avlips")
    block = headroom.Block(student="student_alone", teacher="teacher_alone")
    params = small_params(table_headroom=block)
    runs = headroom.plan(params, "avlips", partial(features_fingerprint, data))
    folders = [
        f"{row}/seed{n}" for row in ("student", "teacher", "auxiliary/audio") for n in (0, 1)
    ]
    assert [run.folder for run in runs] == folders
    assert {run.spec.corpus for run in runs} == {"train"}
    alone = runs[-1].spec
    assert (alone.method, alone.target, alone.auxiliary, alone.seed) == ("baseline", "audio", (), 1)
    assert alone.training == runs[0].spec.training
    assert alone.network["encoder"] == "cnn"


def test_a_configuration_that_is_not_there_is_named() -> None:
    from amid.errors import ConfigError

    params = small_params(table_headroom=headroom.Block(student="student_alone", teacher="techer"))
    with pytest.raises(ConfigError, match=r"table_headroom\.teacher"):
        headroom.TABLE_HEADROOM.check(params)
