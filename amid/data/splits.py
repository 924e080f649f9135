"""From features and frozen embeddings on disk to the tensors of one run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amid.core.reproducible import derive_seed
from amid.core.types import Batch
from amid.core.video_clips import Clips
from amid.data.feature_store import FeatureStore
from amid.data.manifest import EVALUATED, UNLABELLED
from amid.errors import AmidError
from amid.io.checksums import sha256_file

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from amid.core.types import RunSpec

# Of a corpus of its own every fifth clip validates: the extractors then have seen no clip of the
# other splits, whatever fold these end in.
HELD_OUT = 5


@dataclass(frozen=True)
class Splits:
    """The data of one run: the split to train on, and the two to evaluate on."""

    train: Batch
    validation: Batch
    test: Batch
    test_clips: list[str]
    classes: list[str]
    extractors: dict[str, dict[str, Any]]


def fold_splits(split: pd.Series, fold: pd.Series, number: int | None) -> pd.Series:
    """The split of every row, (N,) strings.

    number: None for the manifest's own splits. Else fold `number` is the test split, the next one
        (cyclically) validation, and the others are training; the split `auxiliary` stays.
    """
    if number is None:
        return split
    fold = fold.where(split != "auxiliary", -1)
    if number not in set(fold) - {-1}:
        raise AmidError(f"fold {number} was asked for, but the manifest has no clip in that fold.")
    following = (number + 1) % (int(fold.max()) + 1)
    new = split.where(fold < 0, "train")
    return new.mask(fold == number, "test").mask(fold == following, "validation")


def embeddings_folder(folder: Path) -> Path:
    """The folder with the outputs of a data set's frozen extractors."""
    return folder / "embeddings"


def extractor_card(folder: Path, modality: str) -> dict[str, Any]:
    """What the frozen extractor of `modality` was trained on. Raises AmidError if it is missing."""
    path = embeddings_folder(folder) / f"{modality}.json"
    if not path.exists():
        raise AmidError(f"{path} is missing: run the stage `auxiliary@{folder.name}` first.")
    return json.loads(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=16)
def features_fingerprint(folder: Path, target: str, auxiliary: tuple[str, ...]) -> str:
    """sha256 over the index, the target's features and the auxiliary embeddings of a data set."""
    files = [folder / "features" / "index.parquet", folder / "features" / f"{target}.npy"]
    for modality in auxiliary:  # the card as well: it stands in the run's record
        files += [embeddings_folder(folder) / f"{modality}{end}" for end in (".npy", ".json")]
    for file in files:
        if not file.exists():
            raise AmidError(f"{file} is missing: run `dvc repro` for the stages before this one.")
    sums = [sha256_file(file) for file in files]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()


@lru_cache(maxsize=4)
def _splits(
    folder: Path, target: str, auxiliary: tuple[str, ...], corpus: str, fold: int | None
) -> Splits:
    import torch

    store = FeatureStore.open(folder / "features")
    index = store.index
    split = fold_splits(index["split"], index["fold"], fold)
    embeddings = {
        name: np.load(embeddings_folder(folder) / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in auxiliary
    }
    labels = index["label_index"].to_numpy(np.int64)

    def having(modalities: Sequence[str]) -> np.ndarray:  # (rows,) bool
        return index[[f"has_{modality}" for modality in modalities]].all(axis=1).to_numpy()

    whole = having((target, *auxiliary))
    # All runs of a data set are judged by the same clips, whatever modalities they use; a clip of
    # the training split may end here by the choice of a fold.
    complete = having(store.modalities)

    labelled = labels != UNLABELLED

    def rows_of(name: str, usable: np.ndarray) -> np.ndarray:
        return np.flatnonzero((split == name).to_numpy() & usable)

    def batch(rows: np.ndarray) -> Batch:
        present = whole[rows]
        positions = np.empty(len(rows), np.int64)  # whole samples first: memory banks hold these
        positions[np.argsort(~present, kind="stable")] = np.arange(len(rows))
        return Batch(
            targets(store, target, rows),
            {m: torch.from_numpy(np.ascontiguousarray(e[rows])) for m, e in embeddings.items()},
            torch.from_numpy(labels[rows]),
            torch.from_numpy(positions),
            complete=None if present.all() else torch.from_numpy(present),
        )

    # Without a label a clip is trained on if it has all modalities; a fold that would test it or
    # validate leaves it out.
    train = rows_of(corpus, having((target,)) & (labelled | whole))
    train = np.concatenate([train[labelled[train]], train[~labelled[train]]])
    validation, test = (rows_of(name, complete & labelled) for name in EVALUATED)
    if corpus == "auxiliary":
        held = np.arange(len(train)) % HELD_OUT == HELD_OUT - 1
        train, validation = train[~held], train[held]
    if labelled[train].sum() < 2:
        kind = "clip" if labelled[train].all() else "clip with a label"
        left = f"one {kind}" if labelled[train].any() else f"no {kind}"
        raise AmidError(
            f"{folder.name}: {left} of the split '{corpus}' is left to train '{target}' on, and "
            "training needs at least two: give that split more clips, or look in "
            f"{folder / 'quarantine.parquet'} for those that were excluded."
        )
    if not whole[train].any():
        raise AmidError(
            f"{folder.name}: no clip of the split '{corpus}' has all of {target}, "
            f"{', '.join(auxiliary)}: there is nothing to distil."
        )
    clips = index["id"].iloc[test].tolist()
    cards = {name: extractor_card(folder, name) for name in auxiliary}
    return Splits(batch(train), batch(validation), batch(test), clips, store.classes, cards)


def targets(store: FeatureStore, modality: str, rows: np.ndarray) -> Tensor | Clips:
    """The input of an encoder of `modality` for the clips at `rows` (K,) of the store: a tensor
    (K, ...), or videos that are read when they are needed."""
    import torch

    if store.ragged(modality) and store.array(modality).dtype == np.uint8:
        starts, lengths = store.spans(modality)
        return Clips(store.array(modality), starts[rows], lengths[rows])
    return torch.from_numpy(store.clips(modality, rows))


def load_splits(folder: Path, spec: RunSpec) -> Splits:
    """The data of a run from `folder` (features/ and embeddings/ below it)."""
    splits = _splits(folder, spec.target, spec.auxiliary, spec.corpus, spec.fold)
    if not spec.mismatch_ratio:
        return splits
    return replace(splits, train=mismatch(splits.train, spec.mismatch_ratio))


def mismatch(batch: Batch, share: float) -> Batch:
    """Give a share of the samples the auxiliary modalities of another sample; samples that lack one
    stay as they are.

    The choice does not depend on the run's seed, and a larger share includes the smaller ones: the
    chosen samples, in random order, each get the modalities of the next.
    """
    import torch

    generator = torch.Generator().manual_seed(derive_seed("mismatched"))
    present = batch.complete
    whole = torch.arange(len(batch)) if present is None else present.nonzero().flatten()
    chosen = torch.randperm(len(whole), generator=generator)[: round(share * len(whole))]
    chosen = whole[chosen]
    source = torch.arange(len(batch))
    source[chosen] = chosen.roll(1)
    return replace(batch, auxiliary={m: e[source] for m, e in batch.auxiliary.items()})
