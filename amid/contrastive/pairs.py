"""From features on disk to the pairs of one run, some of them made wrong on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from amid.core.reproducible import derive_seed
from amid.data.feature_store import FeatureStore
from amid.data.splits import targets
from amid.errors import AmidError

if TYPE_CHECKING:
    from amid.core.types import RunSpec

SPLITS = ("train", "validation", "test")


class StoredRows:
    """Features of some clips that stay in a file until they are taken: (N, ...) as a whole.

    array: (clips, ...), a memory map. rows: (N,) int64, its rows; all that is held in memory.
    """

    def __init__(self, array: np.ndarray, rows: np.ndarray) -> None:
        self.array, self.rows = array, rows

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.array.shape[1:])

    def reordered(self, source: Tensor) -> StoredRows:
        """Row i is row `source[i]` of these, (N,) int64; nothing is read."""
        return StoredRows(self.array, self.rows[source.numpy()])

    def index_select(self, axis: int, rows: Tensor) -> Tensor:
        """The rows at `rows` (K,) int64, read into memory, as torch's for axis 0."""
        if axis:
            raise ValueError("rows are along axis 0")
        return torch.from_numpy(np.ascontiguousarray(self.array[self.rows[rows.numpy()]]))


@dataclass(frozen=True)
class PairBatch:
    """Pairs of one split, or a part of them.

    features: per modality the (B, ...) input of its encoder; row i of all belongs together, or is
        taken to. Of a whole split they may be in files, from which `take` reads them.
    samples: (B,) int64 positions in the split.
    """

    features: dict[str, Tensor | StoredRows]
    samples: Tensor

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, rows: Tensor) -> PairBatch:
        """The pairs at `rows` (K,) int64, as tensors."""
        found = {name: values.index_select(0, rows) for name, values in self.features.items()}
        return PairBatch(found, self.samples.index_select(0, rows))


@dataclass(frozen=True)
class PairSplits:
    """The pairs of one run.

    wrong: (N,) bool, which training pairs hold two clips' modalities. For scoring, and for the rule
        `oracle`; nothing else is told.
    clips: ids of the test clips.
    labels: for scoring alone: class indices (N,) of the training clips that the rows of each
        modality are of. test_labels: those of the test clips. classes: names of all.
    """

    train: PairBatch
    validation: PairBatch
    test: PairBatch
    wrong: Tensor
    clips: list[str]
    labels: dict[str, Tensor] = field(default_factory=dict)
    test_labels: list[int] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)


def load_pairs(folder: Path, spec: RunSpec) -> PairSplits:
    """The pairs of a run from `folder` (features/ below it), `spec.mismatch_ratio` of the training
    pairs made wrong.

    Raises:
        AmidError: a modality is missing, fewer than two pairs are left to train on, one alone to be
            judged by, or all training pairs are wrong.
    """
    modalities = (spec.target, *spec.auxiliary)
    found, labelled = _load(folder, modalities)
    train = found["train"]
    source = mismatch(len(train), spec.mismatch_ratio)
    first = modalities[0]
    moved = {m: v if m == first else _reordered(v, source) for m, v in train.features.items()}
    wrong = source != torch.arange(len(train))
    if wrong.all():
        raise AmidError(
            f"{folder.name}: with the mismatch ratio {spec.mismatch_ratio:g} all {len(train)} "
            "training pairs are wrong, and there is nothing to learn: lower it, or add pairs."
        )
    labels = {m: labelled.train if m == first else labelled.train[source] for m in modalities}
    return PairSplits(
        PairBatch(moved, train.samples),
        found["validation"],
        found["test"],
        wrong=wrong,
        clips=labelled.clips,
        labels=labels,
        test_labels=labelled.test.tolist(),
        classes=labelled.classes,
    )


def mismatch(count: int, share: float) -> Tensor:
    """(count,) int64: the clip that each pair's other modalities are taken from.

    A share of the pairs, drawn at random, each get those of the next one drawn; so no chosen pair
    keeps its own, and nothing is used twice. The choice does not depend on the run's seed, and a
    larger share includes the smaller ones. One wrong pair alone cannot be: there are two then.
    """
    generator = torch.Generator().manual_seed(derive_seed("mismatched pairs"))
    number = round(share * count)
    number = min(count, 2) if number == 1 else number
    chosen = torch.randperm(count, generator=generator)[:number]
    source = torch.arange(count)
    source[chosen] = chosen.roll(1)
    return source


class _Labels(NamedTuple):
    """Class indices of the training and of the test clips, the ids of these, all classes."""

    train: Tensor
    test: Tensor
    clips: list[str]
    classes: list[str]


@lru_cache(maxsize=2)
def _load(folder: Path, modalities: tuple[str, ...]) -> tuple[dict[str, PairBatch], _Labels]:
    store = FeatureStore.open(folder / "features")
    index = store.index
    missing = [modality for modality in modalities if modality not in store.modalities]
    if missing:
        raise AmidError(
            f"{folder.name}: there are no features of '{missing[0]}', only of "
            f"{', '.join(store.modalities)}: name these in `modalities`, or extract it."
        )
    has = {modality: index[f"has_{modality}"].to_numpy() for modality in modalities}
    whole = np.logical_and.reduce(list(has.values()))
    found, chosen = {}, {}
    for split in SPLITS:
        inside = (index["split"] == split).to_numpy()
        rows = chosen[split] = np.flatnonzero(inside & whole)
        if split == "train":
            _check_enough(folder.name, modalities, {m: h[inside] for m, h in has.items()})
        elif len(rows) == 1:
            raise AmidError(
                f"{folder.name}: the split '{split}' has a single pair, which is always found: "
                "give it more, or none."
            )
        found[split] = PairBatch(
            {modality: _features(store, modality, rows) for modality in modalities},
            torch.arange(len(rows)),
        )
    labels = index["label_index"].to_numpy(np.int64)
    classes = index.drop_duplicates("label_index").sort_values("label_index")["label"]
    train, test = (torch.from_numpy(labels[chosen[split]]) for split in ("train", "test"))
    return found, _Labels(train, test, index["id"].iloc[chosen["test"]].tolist(), classes.tolist())


def _check_enough(name: str, modalities: Sequence[str], has: dict[str, np.ndarray]) -> None:
    """Raises AmidError unless at least two training clips have all modalities."""
    lacking = [modality for modality in modalities if not has[modality].any()]
    if lacking:
        raise AmidError(
            f"{name}: no training clip has the modality '{lacking[0]}': contrastive pre-training "
            f"needs clips that have all of {', '.join(modalities)}."
        )
    count = int(np.logical_and.reduce(list(has.values())).sum())
    if count < 2:
        number = "only one training clip has" if count else "no training clip has"
        raise AmidError(
            f"{name}: {number} all of {', '.join(modalities)}: contrastive pre-training compares a "
            "pair with others and needs at least two."
        )


def _reordered(values: Tensor | StoredRows, source: Tensor) -> Tensor | StoredRows:
    if isinstance(values, StoredRows):
        return values.reordered(source)
    return values.index_select(0, source)


def _features(store: FeatureStore, modality: str, rows: np.ndarray) -> Tensor | StoredRows:
    """Features of equal shape stay in their file; sequences of any length are padded in memory."""
    if not store.ragged(modality):
        return StoredRows(store.array(modality), rows)
    samples = targets(store, modality, rows)
    if not isinstance(samples, Tensor):
        raise AmidError(
            f"{store.folder.parent.name}: '{modality}' holds frames of films, which contrastive "
            "pre-training does not read: extract features of it (docs/extractors.md)."
        )
    return samples
