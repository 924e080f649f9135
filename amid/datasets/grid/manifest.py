"""The manifest of GRID: a row a word, its split, its fold and whether its label is used."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from amid.datasets.grid.options import Options
from amid.datasets.grid.sentences import sentences_of, spoken
from amid.errors import AmidError
from amid.sources.local_media import shuffled

if TYPE_CHECKING:  # read with the block by every stage: pandas waits until needed
    import pandas as pd

UNITS = 25_000  # of an alignment's times, a second


def rows(options: Options, folder: Path) -> pd.DataFrame:
    """The manifest, one row a word clip, sorted by id; excluded sentences are left out.

    The draws go over all sentences by name, so that excluding one moves no other sentence.
    """
    import pandas as pd

    parts = []
    for talker in sorted(options.talkers):
        sentences = [s for s in sentences_of(talker, folder) if spoken(s.name) is not None]
        names = [sentence.name for sentence in sentences]
        splits = _splits(names, options, talker)
        folds = _folds(names, options, talker)
        parts += [
            {
                "id": clip,
                "label": word,
                "split": splits[sentence.name],
                "fold": folds[sentence.name],
                "group": talker,
                "path": f"raw/{talker}/{sentence.name}.mpg",
                "start": start / UNITS,
                "end": end / UNITS,
            }
            for sentence in sentences
            if sentence.reason is None
            for clip, (start, end, word) in zip(sentence.ids, sentence.times, strict=True)
        ]
    if not parts:
        raise AmidError(
            f"{folder / 'raw'} holds no sentence with a video and a usable alignment: delete it "
            "and run the download stage again."
        )
    frame = pd.DataFrame(parts).sort_values("id", ignore_index=True)
    if options.train_words is not None:
        training = frame[frame["split"] == "train"]
        labelled = _labelled(training, options.train_words, options.seed)
        frame.loc[training.index.difference(labelled), "split"] = "auxiliary"
    manifest = frame[["id", "label", "split", "fold", "group"]].astype({"fold": "int64"})
    for modality in ("video", "audio"):
        for column in ("path", "start", "end"):
            manifest[f"{modality}_{column}"] = frame[column]
    return manifest


def problems(options: Options, folder: Path) -> pd.DataFrame:
    """The clips that `rows` leaves out, one row a word: id, modality, reason, detail (all str)."""
    import pandas as pd

    found = [
        {
            "id": clip,
            "modality": sentence.modality,
            "reason": sentence.reason,
            "detail": sentence.detail,
        }
        for talker in sorted(options.talkers)
        for sentence in sentences_of(talker, folder)
        if sentence.reason is not None
        for clip in sentence.ids
    ]
    frame = pd.DataFrame(found, columns=["id", "modality", "reason", "detail"], dtype="str")
    return frame.sort_values("id", ignore_index=True)


def _splits(names: list[str], options: Options, talker: str) -> dict[str, str]:
    """Sentence -> train, validation or test, in the given shares; of a split by talker, those of
    train and validation alone."""
    if talker in options.test_talkers:
        return dict.fromkeys(names, "test")
    if talker in options.validation_talkers:
        return dict.fromkeys(names, "validation")
    order = shuffled(names, options.seed, f"split/{talker}")
    train, both = options.shares.train, options.shares.train + options.shares.validation
    if options.test_talkers:
        train, both = 1.0 if options.validation_talkers else train / both, 1.0
    first = round(len(order) * train)
    second = round(len(order) * both)
    kinds = ("train",) * first + ("validation",) * (second - first)
    kinds += ("test",) * (len(order) - second)
    return dict(zip(order, kinds, strict=True))


def _folds(names: list[str], options: Options, talker: str) -> dict[str, int]:
    """Sentence -> fold, the folds equal in size to one sentence; of a split by talker, whole
    talkers in the order of their numbers."""
    if options.test_talkers:
        talkers = sorted(options.talkers, key=lambda name: int(name[1:]))
        return dict.fromkeys(names, talkers.index(talker) % options.folds)
    order = shuffled(names, options.seed, f"fold/{talker}")
    return {name: rank % options.folds for rank, name in enumerate(order)}


def _labelled(training: pd.DataFrame, count: int, seed: int) -> list[int]:
    """Index labels of `count` training clips, drawn in proportion to how often each word occurs."""
    available = training["label"].value_counts().sort_index()
    if not len(available) <= count <= len(training):
        raise AmidError(
            f"train_words is {count}, but the training sentences have {len(training)} words of "
            f"{len(available)} classes: choose between these two numbers, or null for all."
        )
    quotas = _proportional(available, count)
    index = dict(zip(training["id"], training.index, strict=True))
    return [
        index[clip]
        for label, quota in quotas.items()
        for clip in shuffled(training.loc[training["label"] == label, "id"], seed, "train_words")[
            :quota
        ]
    ]


def _proportional(available: pd.Series, count: int) -> dict[str, int]:
    """Quotas that sum to `count`: as equal as possible, each from 1 to its number."""
    exact = {label: count * number / int(available.sum()) for label, number in available.items()}
    quotas = {label: max(1, math.floor(share)) for label, share in exact.items()}
    while (missing := count - sum(quotas.values())) != 0:
        step = 1 if missing > 0 else -1
        # Most short of its share first; the label decides between equals.
        free = [
            label
            for label in sorted(quotas)
            if (quotas[label] < available[label] if step > 0 else quotas[label] > 1)
        ]
        label = max(free, key=lambda name: step * (exact[name] - quotas[name]))
        quotas[label] += step
    return quotas
