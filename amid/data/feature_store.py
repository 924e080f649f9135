"""The feature store: one .npy memory map per modality and one index.parquet, in manifest order.

An extractor whose `shape` starts with None gives sequences of any length (L, *rest). They lie one
after another in `<modality>.npy` (total, *rest), and the index says where: int64 columns
`<modality>_start` and `<modality>_length`, 0 and 0 for a clip without the modality.

sums.json holds the sha256 of all these files, which are compared when they are opened.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from amid.errors import AmidError
from amid.io.checksums import verify


class FeatureStore:
    """Read access to the folder that `extract_features` wrote."""

    def __init__(self, folder: Path, index: pd.DataFrame) -> None:
        self.folder = folder
        self.index = index

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raises AmidError if `folder` holds no feature store or its index is damaged."""
        path = folder / "index.parquet"
        if not path.exists():
            raise AmidError(f"{path} is missing: extract the features first.")
        verify(path)
        return cls(folder, pd.read_parquet(path))

    @property
    def modalities(self) -> list[str]:
        return [name.removeprefix("has_") for name in self.index if name.startswith("has_")]

    @property
    def classes(self) -> list[str]:
        """The labels, in the order of their label_index; clips without one have index -1."""
        return sorted(self.index["label"].dropna().unique())

    def ragged(self, modality: str) -> bool:
        """Whether the features of a modality are sequences of any length."""
        return f"{modality}_length" in self.index

    def array(self, modality: str) -> np.memmap:
        """(N, *shape), read-only memory map; row i belongs to row i of the index.

        For sequences of any length (total, *rest): the rows of all clips, see `spans`. Raises
        AmidError for an unknown modality or a damaged file.
        """
        if modality not in self.modalities:
            known = ", ".join(self.modalities)
            raise AmidError(f"{self.folder} has no features of {modality!r}: it holds {known}.")
        path = self.folder / f"{modality}.npy"
        verify(path)
        return np.load(path, mmap_mode="r", allow_pickle=False)

    def spans(self, modality: str) -> tuple[np.ndarray, np.ndarray]:
        """First row in `array` and number of rows of each clip's sequence: (N,) and (N,) int64."""
        return tuple(
            self.index[f"{modality}_{part}"].to_numpy(np.int64) for part in ("start", "length")
        )

    def clips(self, modality: str, rows: np.ndarray) -> np.ndarray:
        """Features of the clips at `rows` (K,) of the index: (K, *shape).

        Sequences of any length are padded at the end with rows of NaN to the longest of the store;
        real rows are finite.
        """
        array = self.array(modality)
        if not self.ragged(modality):
            return np.ascontiguousarray(array[rows])
        starts, lengths = self.spans(modality)
        result = np.full((len(rows), lengths.max(), *array.shape[1:]), np.nan, array.dtype)
        for filled, start, length in zip(result, starts[rows], lengths[rows], strict=True):
            filled[:length] = array[start : start + length]
        return result

    def fingerprint(self) -> str:
        """sha256 over the values of the index and all arrays, however they are stored."""
        digest = hashlib.sha256(self.index.to_csv(index=False, lineterminator="\n").encode())
        for modality in self.modalities:
            array = self.array(modality)
            digest.update(f"{modality} {array.dtype.str} {array.shape}\n".encode())
            for start in range(0, len(array), 1024):
                digest.update(np.ascontiguousarray(array[start : start + 1024]))
        return digest.hexdigest()
