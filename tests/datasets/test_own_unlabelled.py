"""Own data of which training rows have no label: what is kept, drawn, left out and told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from amid.datasets import own
from tests.datasets.test_own import drawn, made, mine, mistakes, options

__all__ = ["mine"]  # a fixture
QUIET = [0, 1, 2, 3, 12, 13, 14, 15]


def quiet(rows: list[dict]) -> list[dict]:
    return [{**row, "label": "" if n in QUIET else row["label"]} for n, row in enumerate(rows)]


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.parquet"])
def test_training_rows_may_have_none(mine, name: str) -> None:
    folder, rows = mine
    frame = made(folder, quiet(rows), manifest=name)
    assert len(frame) == 24
    assert frame["label"].isna().to_numpy().nonzero()[0].tolist() == QUIET
    assert (frame["split"][QUIET] == "train").all()


def test_no_row_without_a_label_is_drawn_for_validation_or_test(mine) -> None:
    folder, rows = mine
    shares = {"validation": 0.25, "test": 0.25}
    frame = made(folder, drawn(quiet(rows)), shares=shares, folds=4)
    assert len(frame) == 24
    assert (frame["split"][QUIET] == "train").all()
    assert (frame["fold"][QUIET] == -1).all()  # so they train in every fold
    known = frame[frame["label"].notna()]
    assert known.groupby(["label", "split"]).size().to_dict() == {
        (x, s): n for x in "ab" for s, n in (("train", 4), ("validation", 2), ("test", 2))
    }
    assert known.groupby("fold").size().tolist() == [4, 4, 4, 4]


def test_groups_that_are_tested_take_theirs_out_of_training(
    mine, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, rows = mine
    sheet = drawn(quiet(rows), group=lambda n: f"g{n % 12 // 2}")  # g0, g1: no label anywhere
    sheet += [{**sheet[4], "id": f"more{n}", "label": "", "group": f"g{n}"} for n in (2, 3, 4, 5)]
    frame = made(folder, sheet, folds=3)
    known, others = frame[frame["label"].notna()], frame[frame["label"].isna()]
    evaluated = set(known["group"][known["split"] != "train"])
    assert evaluated
    assert not set(others["group"]) & evaluated
    assert (others["split"] == "train").all()
    assert len(frame) == 28 - len(evaluated)  # one row without a label in each
    assert f"manifest.csv: {len(evaluated)} rows without a label are left out" in (
        capsys.readouterr().out
    )
    fold_of = known.groupby("group")["fold"].first()
    for group, fold in zip(others["group"], others["fold"], strict=True):
        assert fold == fold_of.get(group, -1)


def test_given_folds_leave_theirs_out_of_the_first_folds_test(mine) -> None:
    folder, rows = mine
    frame = made(folder, drawn(quiet(rows), fold=lambda n: str(n % 3)))
    others = frame[frame["label"].isna()]
    assert others["id"].tolist() == ["c2", "c14"]
    assert (others["split"] == "train").all()


def test_a_validation_share_is_of_labelled_rows(mine) -> None:
    folder, rows = mine
    rows = quiet(rows)
    for row in rows:
        row["split"] = row["split"].replace("validation", "train")
    frame = made(folder, rows, shares={"validation": 0.25})
    known = frame[frame["label"].notna()]
    assert (known["split"] == "validation").sum() in (2, 3, 4)
    assert (frame["split"][frame["label"].isna()] == "train").all()


def test_the_auxiliary_corpus_needs_labels(mine) -> None:
    folder, rows = mine
    rows[7] |= {"label": "", "split": "auxiliary"}
    text = mistakes(folder, rows)
    assert "no label (only training rows may lack one):\n      line 9" in text


def test_the_manifest_reads_back_as_it_was_written(mine, tmp_path: Path) -> None:
    folder, rows = mine
    frame = made(folder, quiet(rows))
    frame.to_parquet(tmp_path / "x.parquet")
    again = pd.read_parquet(tmp_path / "x.parquet")
    assert again["label"].isna().equals(frame["label"].isna())
    assert own.rows(options(folder), folder.parent / "out").equals(frame)
