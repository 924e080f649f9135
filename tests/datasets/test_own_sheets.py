"""Manifests as other programs write them: every row is read, or a sentence says which are not."""

from __future__ import annotations

import decimal
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from amid.datasets import own
from amid.datasets.own.parquet import texts
from amid.errors import AmidError
from amid.extractors import features

NUMBER = 12
EXTRACT = {name: ("features", features.Options(dims=2)) for name in ("va", "vb")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the features of 12 clips: value n in f/n.npy."""
    folder = tmp_path / "mine"
    (folder / "f").mkdir(parents=True)
    for n in range(NUMBER):
        np.save(folder / "f" / f"{n}.npy", np.full(2, n, np.float32))
    return folder


def clips(**more: Callable[[int], object]) -> list[dict]:
    rows = []
    for n in range(NUMBER):
        row = {"id": f"c{n}", "label": f"k{n % 2}", "va": f"f/{n}.npy", "vb": f"f/{n}.npy"}
        rows.append({**row, **{name: value(n) for name, value in more.items()}})
    return rows


def lines(rows: list[dict], separator: str = ",") -> list[str]:
    """A header and the rows, without quotes."""
    return [separator.join(map(str, cells)) for cells in (rows[0], *(r.values() for r in rows))]


def informed(folder: Path, manifest: str, **values) -> own.Informed:
    options = own.Options(manifest=manifest, **values)
    return own.informed(options, str(folder), EXTRACT, "va", "dataset/mine.yaml")


def got(folder: Path, manifest: str, **values) -> tuple[pd.DataFrame, list[str]]:
    """The clips of a manifest and what was told of it."""
    told: list[str] = []
    out = folder.parent / "out"
    out.mkdir(exist_ok=True)
    chosen = informed(folder, manifest, **values)
    own.fetch(chosen, out, echo=told.append)
    return own.rows(chosen, out), told


def text(folder: Path, lines: list[str], manifest: str = "m.csv", **values) -> pd.DataFrame:
    (folder / manifest).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return got(folder, manifest, **values)[0]


def refused(folder: Path, lines: list[str], manifest: str = "m.csv", **values) -> str:
    with pytest.raises(AmidError) as caught:
        text(folder, lines, manifest, **values)
    return str(caught.value)


def check_all(frame: pd.DataFrame) -> None:
    assert frame["id"].tolist() == [f"c{n}" for n in range(NUMBER)]
    assert frame["label"].tolist() == [f"k{n % 2}" for n in range(NUMBER)]
    assert frame["vb_path"].tolist() == [f"raw/files/f/{n}.npy" for n in range(NUMBER)]


# ---------------------------------------------------------------------------------- text


def lone(n: int) -> str:
    return {0: '"Where are you', 2: 'this one"'}.get(n, "n")


def test_a_tsv_has_no_quotes(folder: Path) -> None:
    check_all(text(folder, lines(clips(note=lone), "\t"), "m.tsv"))


def test_lone_quotes_in_a_csv_lose_no_row_in_silence(folder: Path) -> None:
    rows = lines(clips(note=lone))
    told = refused(folder, rows)
    assert "a cell in quotes that spans lines which look like rows" in told
    assert "lines 2 to 4" in told
    check_all(text(folder, rows, quoting=False))
    shares = {"validation": 0.2, "test": 0.2}  # the next says that the quotes are right
    assert len(text(folder, rows, quoting=True, shares=shares)) == NUMBER - 2


def test_a_cell_that_spans_lines_is_told(folder: Path) -> None:
    rows = lines(clips(note=lambda n: '"two\nlines, so"' if n == 3 else "n"))
    (folder / "m.csv").write_text("\n".join(rows))
    frame, told = got(folder, "m.csv")
    check_all(frame)
    assert told == ["m.csv: quoted cells span lines, so these are one row each: lines 5 to 6."]


def test_quotes_of_a_tsv_are_told_where_they_count(folder: Path) -> None:
    rows = lines(clips(label=lambda n: f'"k{n % 2}"', note=lambda n: '"x"'), "\t")
    told = refused(folder, rows, "m.tsv")
    assert "a cell in quotes, which a .tsv does not have" in told
    assert "line 2: `label`" in told
    assert "note" not in told
    check_all(text(folder, rows, "m.tsv", quoting=True))
    kept = text(folder, rows, "m.tsv", quoting=False)
    assert kept["label"][0] == '"k0"'
    header = lines(clips(), "\t")
    header[0] = header[0].replace("id", '"id"')
    assert "line 1" in refused(folder, header, "m.tsv")


def test_long_cells_that_nobody_needs_are_passed_over(folder: Path) -> None:
    check_all(text(folder, lines(clips(note=lambda n: "x" * 200_000))))


@pytest.mark.parametrize(
    "change",
    [
        lambda line, n: line + ",,",
        lambda line, n: ",," + line,
        lambda line, n: f"{n}," + line if n else "," + line,  # an index without a name
        lambda line, n: line + (",," if n > 4 else ""),  # a cell was used once and emptied
        lambda line, n: line + (",note" if n == 0 else "" if n > 4 else ",x"),
        lambda line, n: line + ",note,note",  # the same name twice, and not used
    ],
)
def test_columns_that_spreadsheets_add(folder: Path, change: Callable[[str, int], str]) -> None:
    check_all(text(folder, [change(line, n) for n, line in enumerate(lines(clips()))]))


def test_cells_too_many_or_too_few_are_told(folder: Path) -> None:
    rows = lines(clips())
    rows[3] += ",f/3.npy"
    rows[5] = "c4,k0,f/4.npy"
    told = refused(folder, rows)
    assert "line 4: 5 cells, but the header has 4" in told
    assert "line 6: 3 cells, but the header has 4" in told


@pytest.mark.parametrize(("first", "separator"), [("sep=,", ","), ("sep=;", ";"), ('"sep=|"', "|")])
def test_excels_first_line(folder: Path, first: str, separator: str) -> None:
    rows = lines(clips(note=lambda n: "a b"), separator)
    check_all(text(folder, [first, *rows]))
    rows[4] = rows[4].replace("f/3.npy", "f/gone.npy", 1)
    assert "line 6: f/gone.npy" in refused(folder, [first, *rows])


def test_whole_folds_may_have_a_point(folder: Path) -> None:
    frame = text(folder, lines(clips(fold=lambda n: f"{n % 3}.0")))
    assert frame["fold"].tolist() == [n % 3 for n in range(NUMBER)]
    assert "a fold that is no whole number" in refused(folder, lines(clips(fold=lambda n: "0.5")))


# ---------------------------------------------------------------------------------- groups


def test_too_few_groups_for_the_splits_are_told(folder: Path) -> None:
    one = refused(folder, lines(clips(group=lambda n: "g")))
    assert "no row for the split 'test' and 'validation'" in one
    assert "at least 3 are needed" in one
    assert "has 1 value (g)" in one
    two = refused(folder, lines(clips(group=lambda n: f"g{n // 2 % 2}")))
    assert "has 2 values (g0, g1)" in two
    frame = text(
        folder,
        lines(clips(group=lambda n: f"g{n // 2 % 2}")),
        shares={"validation": 0, "test": 0.2},
    )
    assert frame.groupby("split")["group"].nunique().to_dict() == {"test": 1, "train": 1}
    given = clips(group=lambda n: f"g{n // 2 % 3}", split=lambda n: "test" if n >= 8 else "train")
    assert set(text(folder, lines(given))["split"]) == {"train", "validation", "test"}
    given = clips(group=lambda n: f"g{n // 8}", split=lambda n: "test" if n >= 8 else "train")
    told = refused(folder, lines(given))
    assert "no row for the split 'validation'" in told
    assert "at least 2 are needed" in told
    assert "has 1 value (g0)" in told


def test_three_equal_groups_are_a_split_each_and_told(folder: Path) -> None:
    rows = lines(clips(group=lambda n: f"g{n // 2 % 3}"))
    (folder / "m.csv").write_text("\n".join(rows))
    frame, told = got(folder, "m.csv")
    assert frame["split"].value_counts().to_dict() == {"train": 4, "validation": 4, "test": 4}
    (sentence,) = told
    assert "test has 33% of the clips instead of 20% and validation has 33%" in sentence


def test_shares_of_less_than_a_clip_are_told(folder: Path) -> None:
    told = refused(folder, lines(clips()), shares={"validation": 0.05, "test": 0.4})
    assert "`shares.validation` (0.05) of a label's clips is less than one clip" in told
    told = refused(folder, lines(clips()), shares={"validation": 0.3, "test": 0})
    assert "`shares.test` is 0" in told


# ---------------------------------------------------------------------------------- Parquet


def parquet(folder: Path, name: str = "m.parquet", **columns: pa.Array) -> pd.DataFrame:
    rows = clips()
    table = pa.table({**{c: [row[c] for row in rows] for c in rows[0]}, **columns})
    pq.write_table(table, folder / name)
    return got(folder, name)[0]


LABELS = [f"k{n % 2}" for n in range(NUMBER)]


@pytest.mark.parametrize(
    "label",
    [
        pa.array(LABELS),
        pa.array(LABELS, pa.large_string()),
        pa.array(LABELS, pa.string_view()),
        pa.array(LABELS).dictionary_encode(),
        pa.array([label.encode() for label in LABELS]),
        pa.array([label.encode() for label in LABELS], pa.binary_view()),
        pa.array([label.encode() for label in LABELS], pa.binary(2)),
        pa.array([label.encode() for label in LABELS]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_text_of_every_type_is_text(folder: Path, label: pa.Array) -> None:
    check_all(parquet(folder, label=label))


@pytest.mark.parametrize(
    "unused",
    [
        pa.array([[n] for n in range(NUMBER)]),
        pa.array([[]] * NUMBER, pa.list_(pa.string())),
        pa.array([{"a": n} for n in range(NUMBER)]),
        pa.array([b"\xff\xfe"] * NUMBER),
        pa.array([[("a", 1)]] * NUMBER, pa.map_(pa.string(), pa.int8())),
    ],
    ids=lambda array: str(array.type),
)
def test_columns_that_nobody_uses_are_not_looked_at(folder: Path, unused: pa.Array) -> None:
    check_all(parquet(folder, note=unused))


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("label", pa.array([[n] for n in range(NUMBER)]), "`label` holds list<"),
        ("label", pa.array([[]] * NUMBER, pa.list_(pa.string())), "`label` holds list<"),
        ("va", pa.array([{"bytes": b"x", "path": "p"}] * NUMBER), "`va` holds struct<bytes"),
        ("label", pa.array([b"\xff\xfe"] * NUMBER), "`label`: bytes that are no text.*row 1"),
        ("id", pa.array([bytes(12)] * NUMBER, pa.binary(12)), "`id`: bytes that are no text"),
        ("label", pa.nulls(NUMBER), "fewer than two labels"),
    ],
)
def test_what_is_no_cell_is_one_sentence(folder, column, values, expected) -> None:
    with pytest.raises(AmidError) as caught:
        parquet(folder, **{column: values})
    assert re.search(expected, str(caught.value), re.S), caught.value


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([uuid.UUID(int=7).bytes], pa.uuid()), "00000000-0000-0000-0000-000000000007"),
        (pa.array([decimal.Decimal("1.00")]), "1"),
        (pa.array([decimal.Decimal("1.50")]), "1.5"),
        (pa.array([decimal.Decimal("100")]), "100"),
        (pa.array([2.0]), "2"),
        (pa.array([0.1], pa.float32()), "0.1"),
        (pa.array([0.1], pa.float16()), "0.1"),
        (pa.array([float("nan")]), ""),
        (pa.array([True]), "True"),
        (pa.array([1], pa.bool8()), "True"),
        (pa.array(["x"], pa.json_()), "x"),
        (pa.array([2**63], pa.uint64()), "9223372036854775808"),
        (pa.array([timedelta(seconds=1.5)], pa.duration("ms")), "1.5"),
        (pa.array([0], pa.date32()), "1970-01-01"),
        (pa.array([" a "]), "a"),
        (pa.array([None], pa.string()), ""),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_values_as_text(array: pa.Array, expected: str) -> None:
    assert texts(pa.chunked_array([array])) == ([expected], [])


@pytest.mark.parametrize("index", [["id"], ["id", "label"], ["label", "vb"]])
def test_a_pandas_index_is_columns(folder: Path, index: list[str]) -> None:
    pd.DataFrame(clips()).set_index(index).to_parquet(folder / "m.parquet")
    check_all(got(folder, "m.parquet")[0])


def test_a_pandas_index_of_numbers_is_a_column(folder: Path) -> None:
    frame = pd.DataFrame(clips()).drop(columns="id")
    frame.index = pd.RangeIndex(100, 100 + NUMBER, name="id")
    frame.to_parquet(folder / "m.parquet")
    assert got(folder, "m.parquet")[0]["id"].tolist() == [str(100 + n) for n in range(NUMBER)]


# ---------------------------------------------------------------------------------- many files

SPLITS = ["train", "train", "test", "validation"] * 3


def test_sparks_folder_is_a_manifest(folder: Path) -> None:
    frame = pd.DataFrame(clips())
    spark = folder / "m.parquet"
    spark.mkdir()
    for n in range(3):
        frame[4 * n : 4 * n + 4].to_parquet(spark / f"part-0000{n}-ab.c000.snappy.parquet")
    (spark / "_SUCCESS").touch()
    (spark / "_temporary").mkdir()
    frame.to_parquet(spark / "_temporary" / "part-00000.parquet")
    found, _ = got(folder, "m.parquet")
    check_all(found)
    frame.loc[5, "va"] = "f/gone.npy"
    frame[4:8].to_parquet(spark / "part-00001-ab.c000.snappy.parquet")
    with pytest.raises(AmidError, match=r"part-00001-ab\.c000\.snappy\.parquet row 2: f/gone\.npy"):
        got(folder, "m.parquet")


def test_partitions_are_columns(folder: Path) -> None:
    rows = clips(label=lambda n: f"0{n % 2}/x y", split=SPLITS.__getitem__)
    pd.DataFrame(rows).to_parquet(folder / "parts", partition_cols=["split", "label"])
    found = got(folder, "parts")[0].set_index("id").sort_index()
    expected = pd.DataFrame(rows).set_index("id").sort_index()
    assert found["label"].tolist() == expected["label"].tolist()  # 00 stays text
    assert found["split"].tolist() == expected["split"].tolist()


def test_the_shards_of_splits_name_them(folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    frame = pd.DataFrame(clips()).assign(split=SPLITS)
    for split, part in frame.groupby("split"):
        part = part.drop(columns="split")
        for n in range(2):
            half = part[n::2]
            half.to_parquet(data / f"{split}-0000{n}-of-00002-0123abcd.parquet", index=False)
    found, _ = got(folder, "data")
    assert found.set_index("id")["split"].to_dict() == frame.set_index("id")["split"].to_dict()
    for path in data.glob("t*st-*"):
        path.unlink()
    for path in data.glob("validation-*"):
        path.unlink()
    shares = {"validation": 0.3, "test": 0.3}
    found, _ = got(folder, "data", shares=shares)  # of one alone: the splits are drawn
    assert set(found["split"]) == {"train", "test", "validation"}


def test_a_folder_without_parts_is_told(folder: Path) -> None:
    with pytest.raises(AmidError, match=r"holds no \.parquet file"):
        got(folder, "f")


def test_the_folder_itself_may_be_the_manifest(folder: Path) -> None:
    pd.DataFrame(clips()).to_parquet(folder / "part-0.parquet")
    check_all(got(folder, ".")[0])
