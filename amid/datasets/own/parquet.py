"""Read a manifest from Parquet: one file, or a folder of parts as Spark, pandas' `partition_cols`
and Hugging Face's datasets write them.

Only columns that are wanted are read. Each value becomes the text that it stands for; a column of
lists or structures, and bytes that are no text, are mistakes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from amid.datasets.own.sheet import Problems, Sheet
from amid.errors import AmidError

if TYPE_CHECKING:
    import pyarrow as pa

# As Hugging Face's datasets name the parts of a split, and Hive an empty cell of a partition.
SHARD = re.compile(r"(\w+)-\d{5}-of-\d{5}(-\w+)?\.parquet")
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
NO_TEXT = "bytes that are no text"


class Part(NamedTuple):
    """A file of a manifest. name: "" where it is the only one. told: the cells that its path tells
    for all of its rows."""

    path: Path
    name: str
    told: dict[str, str]


def read_parquet(path: Path, used: Collection[str] | None) -> Sheet:
    """The sheet of a .parquet file or of a folder of them. Raises AmidError for files that are no
    Parquet, and for columns whose values are no text or number."""
    parts = find_parts(path) if path.is_dir() else [Part(path, "", {})]
    problems = Problems(path.name, "row")
    columns: dict[str, None] = {}
    rows: list[dict[str, str]] = []
    lines: list[int | str] = []
    repeated: list[str] = []
    for part in parts:
        names, cells, count = _read(part, used, problems)
        repeated += [name for name, n in Counter(names).items() if n > 1]
        told = {name: value for name, value in part.told.items() if name not in names}
        columns |= dict.fromkeys([*names, *told])
        told = {name: value for name, value in told.items() if used is None or name in used}
        values = zip(*cells.values(), strict=True) if cells else [()] * count
        rows += [dict(zip(cells, row, strict=True)) | told for row in values]
        lines += [f"{part.name} row {n}" if part.name else n for n in range(1, count + 1)]
    problems.close()
    every = dict.fromkeys([name for row in rows for name in row] if len(parts) > 1 else [], "")
    rows = [every | row for row in rows]
    names = [*columns, *dict.fromkeys(repeated)]
    return Sheet(path.name, names, rows, lines, "row", [])


def find_parts(folder: Path) -> list[Part]:
    """The .parquet files below a folder, by their paths; as Spark does, those are left out whose
    path has a name that begins with _ or a full stop.

    A folder `column=value` tells a cell of its files. So does the name of a split's shard, such as
    train-00000-of-00002.parquet, where there are several splits. Raises AmidError without parts.
    """
    paths = sorted(
        (path.relative_to(folder) for path in folder.rglob("*.parquet") if path.is_file()),
        key=lambda path: path.as_posix(),
    )
    paths = [path for path in paths if not any(part[0] in "_." for part in path.parts)]
    if not paths:
        raise AmidError(f"The folder {folder} holds no .parquet file: check `manifest`.")
    shards = [SHARD.fullmatch(path.name) for path in paths]
    by_split = all(shards) and len({shard[1] for shard in shards}) > 1
    found = []
    for path, shard in zip(paths, shards, strict=True):
        told = {"split": shard[1]} if by_split else {}
        for step in path.parts[:-1]:
            name, sign, value = step.partition("=")
            if sign:
                told[unquote(name)] = "" if value == HIVE_NULL else unquote(value)
        found.append(Part(folder / path, path.as_posix(), told))
    return found


def _read(
    part: Part, used: Collection[str] | None, problems: Problems
) -> tuple[list[str], dict[str, list[str]], int]:
    """The names of a file's columns, the cells of those that are used, and the number of rows."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(part.path) as file:
            schema, count = file.schema_arrow, file.metadata.num_rows
            names = list(schema.names)
            chosen = [n for n in names if (used is None or n in used) and names.count(n) == 1]
            nested = [name for name in chosen if _is_nested(schema.field(name).type)]
            chosen = [name for name in chosen if name not in nested]
            table = file.read(columns=chosen)
    except Exception as error:  # pyarrow's many, some of them its own
        if getattr(error, "strerror", None):
            raise AmidError(
                f"The manifest {part.path.name} cannot be read: {error.strerror}."
            ) from error
        text = " ".join(str(error).split())
        raise AmidError(f"{part.path.name} is no Parquet file: {text}.") from error
    for name in nested if used is not None else []:
        kind = str(schema.field(name).type)
        problems.add(
            f"the column `{name}` holds {kind}, not one value a row: write it as text",
            None,
            part.name,
        )
    cells = {}
    for name in chosen:
        cells[name], wrong = texts(table[name])
        for row in wrong:
            line = f"{part.name} row {row + 1}" if part.name else row + 1
            problems.add(f"`{name}`: {NO_TEXT}, write it as text", line)
    for name, values in _index(schema.pandas_metadata, count).items():
        if name not in names and (used is None or name in used):
            names.append(name)
            cells[name] = values
    return names, cells, count


def _index(pandas: dict[str, Any] | None, count: int) -> dict[str, list[str]]:
    """The index of a data frame where pandas wrote its bounds only: all others are columns."""
    found = {}
    for index in (pandas or {}).get("index_columns", []):
        if isinstance(index, dict) and index.get("kind") == "range" and index.get("name"):
            values = range(index["start"], index["stop"], index["step"])
            if len(values) == count:
                found[str(index["name"])] = [str(value) for value in values]
    return found


def _is_nested(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_nested(kind)


def texts(column: pa.ChunkedArray) -> tuple[list[str], list[int]]:
    """The cells of a column as text, "" where empty, and the rows of those that are no text.

    Whole numbers have no decimal point, of whatever type they are, and other ones as few digits as
    tell them; durations are seconds, UUIDs as usual, bytes UTF-8.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    kind = column.type
    if pa.types.is_duration(kind):
        scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        values = column.cast(pa.int64()).to_pylist()
        values = [None if value is None else value / scale for value in values]
    elif pa.types.is_temporal(kind):
        values = column.cast(pa.string()).to_pylist()
    elif pa.types.is_float16(kind) or pa.types.is_float32(kind):
        import numpy as np  # whose numbers of few bits know how few digits tell them

        of = np.float16 if pa.types.is_float16(kind) else np.float32
        values = [None if v is None else float(str(of(v))) for v in column.to_pylist()]
    else:
        values = column.to_pylist()
    cells, wrong = [], []
    for row, value in enumerate(values):
        text = _text(value)
        if text is None:
            wrong.append(row)
        cells.append(text or "")
    return cells, wrong


def _text(value: Any) -> str | None:
    """One value as text, None for bytes that are none."""
    from decimal import Decimal

    if value is None or value != value:
        return ""
    if isinstance(value, bytes):
        try:
            text = value.decode().strip()
        except UnicodeDecodeError:
            return None
        return text if text.isprintable() else None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value).strip()
