"""Own data: what a manifest may say, and every mistake of one."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amid.data.manifest import check_manifest
from amid.datasets import own
from amid.errors import AmidError, ConfigError
from amid.extractors import features, log_mel

EXTRACT = {
    "picture": ("features", features.Options(dims=3)),
    "sound": ("features", features.Options(dims=2, sequence=True)),
}


def options(folder: Path, extract: dict | None = None, **values) -> own.Informed:
    extract = extract or EXTRACT
    given = {"manifest": "manifest.csv", "modalities": list(extract), **values}
    return own.informed(own.Options(**given), str(folder), extract, "picture", "dataset/mine.yaml")


def write(folder: Path, rows: list[dict], name: str = "manifest.csv") -> None:
    if name.endswith(".parquet"):
        pd.DataFrame(rows).to_parquet(folder / name)
        return
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


@pytest.fixture
def mine(tmp_path: Path) -> tuple[Path, list[dict]]:
    """A folder with the features of 24 clips of two labels, and its rows: id n in line n + 2."""
    folder = tmp_path / "mine"
    rows = []
    for name in ("p", "s"):
        (folder / name).mkdir(parents=True)
    for n in range(24):
        np.save(folder / "p" / f"{n}.npy", np.full(3, n, np.float32))
        np.save(folder / "s" / f"{n}.npy", np.full((1 + n % 3, 2), n, np.float32))
        split = {4: "validation", 5: "test"}.get(n % 6, "train")
        row = {"id": f"c{n}", "label": "ab"[n // 2 % 2], "split": split}
        rows.append({**row, "picture": f"p/{n}.npy", "sound": f"s/{n}.npy"})
    return folder, rows


def made(folder: Path, rows: list[dict], **values) -> pd.DataFrame:
    write(folder, rows, values.get("manifest", "manifest.csv"))
    chosen = options(folder, **values)
    out = folder.parent / "out"
    out.mkdir(exist_ok=True)
    own.fetch(chosen, out)
    frame = own.rows(chosen, out)
    check_manifest(frame)
    return frame


def mistakes(folder: Path, rows: list[dict], **values) -> str:
    with pytest.raises(AmidError) as caught:
        made(folder, rows, **values)
    return str(caught.value)


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.parquet"])
def test_a_manifest_becomes_clips(mine, name: str) -> None:
    folder, rows = mine
    rows[1]["sound"] = "" if name.endswith("csv") else None
    frame = made(folder, rows, manifest=name)
    assert frame["id"].tolist() == [row["id"] for row in rows]
    assert frame["split"].tolist() == [row["split"] for row in rows]
    assert frame["picture_path"][3] == "raw/files/p/3.npy"
    assert pd.isna(frame["sound_path"][1])
    assert frame["sound_start"].isna().all()
    out = folder.parent / "out"
    copy = out / frame["picture_path"][3]
    assert copy.read_bytes() == (folder / "p" / "3.npy").read_bytes()
    found = own.fetch(options(folder, manifest=name), out)
    assert len(found["files"]) == 24 + 23
    assert str(folder) not in str(found)
    assert found["files"][0].keys() == {"name", "size", "sha256"}


@pytest.mark.parametrize("text", ["{}", "\ufeff{}"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_as_spreadsheets_write_it(mine, text: str, separator: str) -> None:
    folder, rows = mine
    made(folder, rows)
    plain = (folder / "manifest.csv").read_text().replace(",", separator).replace("\n", "\r\n")
    (folder / "manifest.csv").write_text(text.format(plain), encoding="utf-8", newline="")
    frame = own.rows(options(folder), _fetched(folder))
    assert len(frame) == 24


def _fetched(folder: Path) -> Path:
    out = folder.parent / "out"
    own.fetch(options(folder), out)
    return out


def setting(number: int, **cells: str) -> Callable:
    return lambda folder, rows: rows[number].update(cells)


def without(column: str) -> Callable:
    return lambda folder, rows: [row.pop(column) for row in rows]


def file(name: str, values: np.ndarray) -> Callable:
    return lambda folder, rows: np.save(folder / name, values)


def emptied(column: str, split: str = "") -> Callable:
    def change(folder: Path, rows: list[dict]) -> None:
        for row in rows:
            if split in row["split"]:
                row[column] = ""

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (without("label"), "no column `label`"),
        (without("sound"), "no column `sound`"),
        (setting(3, picture="p/gone.npy"), "does not exist.*line 5: p/gone.npy"),
        (setting(3, picture="p"), "line 5: p: a folder, not a file"),
        (setting(4, label="c"), "no training row has.*line 6: 'c' in validation"),
        (setting(5, label="c"), "no training row has.*line 7: 'c' in test"),
        (setting(7, id="c3"), "ids given more than once.*'c3' in lines 5, 9"),
        (setting(7, id="../c3"), "an id with a slash.*line 9"),
        (setting(7, id=""), "no id.*line 9"),
        (setting(4, label=""), "no label .only training rows may lack one.:\n *line 6"),
        (setting(5, label=""), "no label .only training rows may lack one.:\n *line 7"),
        (emptied("label", "train"), "no training row has a label"),
        (setting(7, split="dev"), "unknown split: use one of train, validation.*line 9: 'dev'"),
        (setting(7, split=""), "no split, though other rows have one.*line 9"),
        (setting(7, picture=""), "no file of the target modality `picture`.*line 9"),
        (setting(7, sound="../../x.npy"), "outside the folder.*line 9: ../../x.npy"),
        (setting(7, sound="/etc/passwd"), "outside the folder.*line 9: /etc/passwd"),
        (setting(7, sound="p/../../mine/s/0.npy"), "outside the folder.*line 9: p/../../mine/s"),
        (setting(7, sound="p/x\0.npy"), r"unprintable characters.*line 9: 'p/x\\x00.npy'"),
        (setting(7, sound="p/x\x1b[2J"), "unprintable characters.*line 9"),
        (setting(7, id="a\nb"), "spans lines which look like rows.*lines 9 to 10"),
        (setting(7, id="/etc/passwd"), "an id with a slash.*line 9"),
        (setting(7, id="a\0b"), "an id with a slash or a control character.*line 9"),
        (file("p/8.npy", np.array([0, np.nan, 0])), "NaN or infinite.*line 10: p/8.npy.*1 of 3"),
        (file("p/8.npy", np.zeros(4)), r"wrong shape.*line 10: p/8.npy.*\(4,\), not \(3,\)"),
        (file("s/8.npy", np.zeros((2, 5))), r"`sound`.*wrong shape.*line 10.*\(any length, 2\)"),
        (file("p/8.npy", np.array(["a"] * 3)), "no numbers.*line 10"),
        (file("p/8.npy", np.array([{}] * 3, object)), "no numbers.*line 10.*Python objects"),
        (emptied("sound"), "the column `sound` is empty in every row"),
        (emptied("sound", "train"), "the column `sound` is empty in every training row"),
        (lambda f, rows: rows.__setitem__(slice(None), [{"id": ""}]), "no rows"),
        (lambda f, rows: [r.update(split="train") for r in rows], "no row in the split 'test'"),
        (lambda f, rows: [r.update(label="a") for r in rows], "fewer than two labels"),
        (lambda f, rows: [r.update(fold="1") for r in rows], "folds must be 0, 1, 2"),
        (lambda f, rows: [r.update(fold="x") for r in rows], "no whole number.*line 2: 'x'"),
        (lambda f, rows: [r.update(group="" if r["id"] == "c3" else "g") for r in rows],
         "no group, though other rows have one.*line 5"),
    ],
)  # fmt: skip
def test_every_mistake_has_its_sentence_and_its_line(mine, change, expected: str) -> None:
    folder, rows = mine
    change(folder, rows)
    text = mistakes(folder, rows)
    assert re.search(expected, text, re.S), text
    assert text.startswith("manifest.csv has 1 problem") or "no rows" in text, text
    assert not list((folder.parent / "out").iterdir())


def test_all_mistakes_are_told_at_once_and_long_lists_are_cut(mine) -> None:
    folder, rows = mine
    rows[0]["id"] = "c1"
    rows[2]["split"] = "dev"
    rows[4]["label"] = "zebra"
    for row in rows[6:]:
        row["picture"] = "p/gone.npy"
    np.save(folder / "s" / "3.npy", np.full((2, 2), np.nan))
    text = mistakes(folder, rows)
    assert text.startswith("manifest.csv has 5 kinds of problems (the header is line 1):")
    for word in ("'c1' in lines 2, 3", "line 4: 'dev'", "line 6: 'zebra'", "and 8 more"):
        assert word in text
    assert "line 5: s/3.npy" in text


def test_a_column_of_another_name_is_guessed(mine) -> None:
    folder, rows = mine
    for row in rows:
        row["Label"] = row.pop("label")
        row["sounds"] = row.pop("sound")
    text = mistakes(folder, rows)
    assert "no column `label` (is it `Label`?)" in text
    assert "no column `sound` (is it `sounds`?)" in text


def test_lines_are_counted_as_an_editor_does(mine) -> None:
    folder, rows = mine
    rows[0]["note"] = "two\nlines"
    for row in rows[1:]:
        row["note"] = ""
    rows[5]["picture"] = "p/gone.npy"
    write(folder, rows)
    lines = (folder / "manifest.csv").read_text().splitlines()
    at = next(n for n, line in enumerate(lines, 1) if "gone" in line)
    assert at == 8
    assert f"line {at}: p/gone.npy" in mistakes(folder, rows)
    assert "row 6: p/gone.npy" in mistakes(folder, rows, manifest="manifest.parquet")
    text = "\n".join([*lines[:4], "", "c99,a,train", *lines[4:]])
    (folder / "manifest.csv").write_text(text)
    with pytest.raises(AmidError, match=r"line 6: 3 cells, but the header has 6"):
        own.fetch(options(folder), folder.parent / "out")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("manifest.csv", None, "does not exist"),
        ("manifest.csv", "id,label\nü".encode("latin-1"), "not UTF-8"),
        ("manifest.csv", b'id,label\n"a,b\n', "cannot be told"),
        ("manifest.csv", b"", "no column `id`"),
        ("manifest.parquet", b"id,label\n", "is no Parquet file"),
    ],
)
def test_what_is_no_table_is_said(tmp_path: Path, name, content, expected) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AmidError, match=expected):
        own.fetch(options(tmp_path, manifest=name), tmp_path / "out")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2", "1", "is not before.*line 3: 2, 1"),
        ("1", "1", "is not before"),
        ("-1", "1", "no number of seconds.*line 3: '-1'"),
        ("one", "", "no number of seconds.*line 3: 'one'"),
        ("nan", "inf", "no number of seconds"),
    ],
)
def test_wrong_times(mine, start: str, end: str, expected: str) -> None:
    folder, rows = mine
    extract = {**EXTRACT, "sound": ("log_mel", log_mel.Options())}
    for row in rows:
        row |= {"sound_start": "", "sound_end": ""}
    rows[1] |= {"sound_start": start, "sound_end": end}
    assert re.search(expected, mistakes(folder, rows, extract=extract), re.S)
    rows[1] |= {"sound_start": "0.5", "sound_end": "1.5"}
    frame = made(folder, rows, extract=extract)
    assert frame.loc[1, ["sound_start", "sound_end"]].tolist() == [0.5, 1.5]
    assert "have no start and end" in mistakes(folder, rows)


def test_names_that_a_shell_would_take_for_more_are_data(mine, tmp_path) -> None:
    folder, rows = mine
    rows[0] |= {"id": "$(touch pwned)"}
    rows[1] |= {"id": "-rf"}
    (folder / "-rf; touch pwned.npy").write_bytes((folder / rows[2]["picture"]).read_bytes())
    rows[2] |= {"id": "`touch pwned`", "picture": "-rf; touch pwned.npy"}
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)}
    frame = made(folder, rows)
    assert list(frame["id"][:3]) == ["$(touch pwned)", "-rf", "`touch pwned`"]
    after = {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)}
    assert all(path.is_relative_to(tmp_path / "out") for path in after - before)
    assert not list(tmp_path.rglob("pwned*"))


def test_a_link_that_leads_out_of_the_folder_is_refused(mine) -> None:
    folder, rows = mine
    np.save(folder.parent / "other.npy", np.zeros(3))
    (folder / "p" / "link.npy").symlink_to(folder.parent / "other.npy")
    rows[0]["picture"] = "p/link.npy"
    text = mistakes(folder, rows)
    assert "`picture`: a link out of the folder" in text
    assert f"line 2: p/link.npy: p/link.npy -> {folder.parent / 'other.npy'}" in text
    assert made(folder, rows, follow_links=True)["id"][0] == "c0"
    copy = folder.parent / "out" / "raw" / "files" / "p" / "link.npy"
    assert not copy.is_symlink()
    assert np.load(copy, allow_pickle=False).tolist() == [0, 0, 0]


def drawn(rows: list[dict], **cells: Callable) -> list[dict]:
    kept = [{k: v for k, v in row.items() if k != "split"} for row in rows]
    for n, row in enumerate(kept):
        row |= {name: value(n) for name, value in cells.items()}
    return kept


def test_splits_and_folds_are_drawn_label_by_label(mine) -> None:
    folder, rows = mine
    shares = {"validation": 0.25, "test": 0.25}
    frame = made(folder, drawn(rows), shares=shares, folds=4)
    counts = frame.groupby(["label", "split"]).size().to_dict()
    assert counts == {(x, s): n for x in "ab" for s, n in
                      (("train", 6), ("validation", 3), ("test", 3))}  # fmt: skip
    assert frame.groupby("fold").size().tolist() == [6, 6, 6, 6]
    again = made(folder, drawn(rows), shares=shares, folds=4)
    pd.testing.assert_frame_equal(frame, again)
    other = made(folder, drawn(rows), shares=shares, folds=4, seed=1)
    assert frame["split"].tolist() != other["split"].tolist()


def test_groups_stay_together(mine) -> None:
    folder, rows = mine
    frame = made(folder, drawn(rows, group=lambda n: f"g{n // 4}"), folds=3)
    assert (frame.groupby("group")["split"].nunique() == 1).all()
    assert (frame.groupby("group")["fold"].nunique() == 1).all()
    assert set(frame["split"]) == {"train", "test", "validation"}
    assert set(frame["fold"]) == {0, 1, 2}


def test_folds_without_splits_are_a_cross_validations_first_fold(mine) -> None:
    folder, rows = mine
    frame = made(folder, drawn(rows, fold=lambda n: str(n % 3)))
    expected = {0: "test", 1: "validation", 2: "train"}
    assert frame["split"].tolist() == [expected[fold] for fold in frame["fold"]]


def test_a_validation_share_is_drawn_from_train_alone(mine) -> None:
    folder, rows = mine
    for row in rows:
        row["split"] = row["split"].replace("validation", "train")
    frame = made(folder, rows, shares={"validation": 0.2, "test": 0.5})
    given = np.array([row["split"] for row in rows])
    assert ((frame["split"] == "test") == (given == "test")).all()
    assert (frame["split"] == "validation").sum() == 4
    frame = made(folder, rows, shares={"validation": 0.0})
    assert set(frame["split"]) == {"train", "test"}


def test_what_a_failed_check_finds_there_stays(mine) -> None:
    folder, rows = mine
    made(folder, rows)
    out = folder.parent / "out"
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    rows[0]["picture"] = "p/gone.npy"
    mistakes(folder, rows)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"manifest": "../manifest.csv"}, "manifest' is '../manifest.csv', which lies outside"),
        ({"root": ".."}, "root' is '..', which lies outside"),
        ({"manifest": "manifest.xlsx"}, "must end in one of .csv"),
        ({"modalities": ["picture", "smell"]}, "names picture, smell, but"),
    ],
)
def test_options_that_do_not_fit_the_block(tmp_path: Path, values, expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(expected)):
        options(tmp_path, **values)


def test_without_labels_a_manifest_is_for_pairs(mine: tuple[Path, list[dict]]) -> None:
    folder, rows = mine
    bare = [{name: value for name, value in row.items() if name != "label"} for row in rows]
    with pytest.raises(AmidError, match=r"no column `label` \(for contrastive pre-training alone"):
        made(folder, bare)
    table = made(folder, bare, labels=False)
    check_manifest(table)
    assert set(table["label"]) == {"unlabelled"}
    assert table["split"].value_counts().to_dict() == {"train": 16, "validation": 4, "test": 4}
    assert set(made(folder, rows, labels=False)["label"]) == {"unlabelled"}
    drawn = [{name: value for name, value in row.items() if name != "split"} for row in bare]
    assert (made(folder, drawn, labels=False)["split"] == "test").sum() == 5
