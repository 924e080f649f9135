"""The manifest: one row per clip, with its label, split, fold, group and the files it consists of.

Columns: id, label (training rows may have none), split, fold, group, and per modality
<modality>_path, <modality>_start, <modality>_end (seconds, or NaN) and optionally <modality>_box.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from amid.errors import AmidError

SPLITS = ("train", "validation", "test", "auxiliary")
COLUMNS = ("id", "label", "split", "fold", "group")
EVALUATED = ("validation", "test")
UNLABELLED = -100  # the index of the class of a clip without a label; also in amid.losses


def check_manifest(manifest: pd.DataFrame) -> None:
    """Raise AmidError for a manifest that cannot be trained and tested on."""
    missing = [name for name in COLUMNS if name not in manifest.columns]
    for modality in modalities(manifest):
        names = (f"{modality}_start", f"{modality}_end")
        missing += [name for name in names if name not in manifest.columns]
    if missing:
        raise AmidError(f"The manifest lacks the column {quoted(missing)}: add it.")
    if not len(manifest):
        raise AmidError("The manifest has no rows: give it one a clip.")
    for name in ("id", "label", "split"):
        empty = manifest[name].isna()
        if name == "label":
            empty &= manifest["split"] != "train"
        if empty.any():
            row = int(np.flatnonzero(empty)[0])
            only = " (only rows of the split 'train' may lack one)" if name == "label" else ""
            raise AmidError(f"The manifest's row {row} has no {name}: fill it in{only}.")
    repeated = manifest["id"][manifest["id"].duplicated()].unique()
    if len(repeated):
        raise AmidError(
            f"The manifest has more than one row with the id {quoted(repeated)}: "
            "give every clip its own."
        )
    unknown = manifest[~manifest["split"].isin(SPLITS)]
    if len(unknown):
        row = unknown.iloc[0]
        raise AmidError(
            f"The manifest puts {row['id']!r} into the split {row['split']!r}: use one of "
            f"{', '.join(SPLITS)}."
        )
    check_labels(manifest, "The manifest")


def modalities(manifest: pd.DataFrame) -> list[str]:
    """The modalities for which the manifest has a column of paths."""
    return [name.removesuffix("_path") for name in manifest.columns if name.endswith("_path")]


def check_labels(rows: pd.DataFrame, whose: str) -> None:
    """Raise AmidError without training rows, or for a label that is only evaluated on."""
    trained = rows["label"][rows["split"] == "train"]
    if not len(trained):
        raise AmidError(f"{whose} has no rows in the split 'train': there is nothing to train on.")
    trained = set(trained.dropna())
    if not trained:
        raise AmidError(f"{whose} has no label in the split 'train': give some of its rows one.")
    for split in ("validation", "test"):
        unseen = sorted(set(rows["label"][rows["split"] == split]) - trained)
        if unseen:
            raise AmidError(
                f"{whose} has the label {quoted(unseen)} in the split {split!r} but not in "
                "'train': add training clips of it or leave its clips out."
            )


def path_or_none(path: Any) -> str | None:
    return None if pd.isna(path) else str(path)


def boxes(manifest: pd.DataFrame, name: str) -> list[tuple[float, ...] | None]:
    """The column `name` as (top, bottom, left, right) per row, None where it is empty. Raises
    AmidError for any other text."""
    found: list[tuple[float, ...] | None] = []
    for clip, text in zip(manifest["id"], map(path_or_none, manifest[name]), strict=True):
        try:
            box = None if text is None else tuple(float(share) for share in text.split())
            if box is not None:
                top, bottom, left, right = box
                if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
                    raise ValueError
        except ValueError:
            raise AmidError(
                f"The manifest's {name} of {clip!r} is {text!r}: give four shares from 0 to 1, "
                "top, bottom, left and right, with top < bottom and left < right."
            ) from None
        found.append(box)
    return found


def quoted(values: Any) -> str:
    """Up to five of `values`, quoted, for a message."""
    values = [repr(str(value)) for value in values]
    return ", ".join(values[:5]) + (f" and {len(values) - 5} more" if len(values) > 5 else "")
