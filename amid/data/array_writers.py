"""Write the features of one modality to a .npy file, clip by clip.

Features of one shape are rows of a memory map; sequences of any length lie one after another.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from amid.errors import AmidError
from amid.extractors import load


class DenseWriter:
    """Writes features of one shape, in any order: row i of the file is row i of the manifest."""

    def __init__(self, path: Path, count: int, shape: tuple[int, ...], dtype: type) -> None:
        self.path = path
        self.array = allocate_memmap(path, dtype, (count, *shape))
        self.rows = np.asarray(self.array)  # a memory map makes another one for each row

    def put(self, row: int, value: np.ndarray) -> None:
        self.rows[row] = value

    def close(self, good: np.ndarray, kept: np.ndarray) -> dict[str, np.ndarray]:
        """Keep the rows `kept` (rows,) bool, with zeros where they are not `good`."""
        self.array[~good] = 0
        keep_rows(self.path, self.array, kept)
        return {}


class RaggedWriter:
    """Writes sequences of any length (L, *rest), one after another in the order of the calls.

    Callers put them in the order of the files' paths, so the bytes do not depend on the number of
    workers.
    """

    def __init__(self, path: Path, count: int, shape: tuple[int, ...], dtype: type) -> None:
        self.path, self.rest, self.dtype = path, shape[1:], np.dtype(dtype)
        self.starts, self.lengths = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.total = 0
        self.file = path.open("w+b")
        self._write_header(0)
        self.offset = self.file.tell()

    def put(self, row: int, value: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(value, self.dtype).tobytes())
        self.starts[row], self.lengths[row] = self.total, len(value)
        self.total += len(value)

    def close(self, good: np.ndarray, kept: np.ndarray) -> dict[str, np.ndarray]:
        """Keep the sequences that are both `good` and `kept`, (rows,) bool each, without gaps.

        Returns the columns "start" and "length" of the index, (kept rows,) int64 each.
        """
        used = good & kept & (self.lengths > 0)
        self.lengths[~used] = 0
        width = self.dtype.itemsize * math.prod(self.rest)  # bytes a row
        total = 0
        for row in sorted(np.flatnonzero(used), key=self.starts.__getitem__):
            if self.starts[row] != total:  # moved towards the front, in place: no second file
                self.file.seek(self.offset + int(self.starts[row]) * width)
                data = self.file.read(int(self.lengths[row]) * width)
                self.file.seek(self.offset + total * width)
                self.file.write(data)
            self.starts[row] = total
            total += int(self.lengths[row])
        self.starts[~used] = 0
        self.file.truncate(self.offset + total * width)
        self.file.seek(0)
        self._write_header(total)
        if self.file.tell() != self.offset:  # numpy leaves room for a growing first axis
            raise AmidError(f"{self.path.name}: numpy wrote a header of another length.")
        self.file.close()
        return {"start": self.starts[kept], "length": self.lengths[kept]}

    def _write_header(self, total: int) -> None:
        np.lib.format.write_array_header_1_0(
            self.file,
            {
                "descr": np.lib.format.dtype_to_descr(self.dtype),
                "fortran_order": False,
                "shape": (total, *self.rest),
            },
        )


def open_writer(
    path: Path, count: int, extractor: tuple[str, BaseModel]
) -> DenseWriter | RaggedWriter:
    """The writer for the features of `count` clips that an extractor (name, options) gives."""
    name, options = extractor
    shape = load(name).shape(options)
    kind = RaggedWriter if shape[0] is None else DenseWriter
    return kind(path, count, shape, getattr(load(name), "DTYPE", np.float32))


def allocate_memmap(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """A new .npy memory map whose disk space is allocated at once. Raises OSError, with the path,
    where there is none; otherwise a full disk would kill the process at some later write."""
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from None
    return array


def keep_rows(path: Path, array: np.memmap, kept: np.ndarray) -> None:
    """Reduce the memory map at `path` to the rows `kept`."""
    array.flush()
    if kept.all():
        return
    rows = np.flatnonzero(kept)
    smaller = path.with_suffix(".smaller")
    target = allocate_memmap(smaller, array.dtype, (len(rows), *array.shape[1:]))
    for start in range(0, len(rows), 1024):
        target[start : start + 1024] = array[rows[start : start + 1024]]
    target.flush()
    smaller.replace(path)
