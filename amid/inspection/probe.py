"""A linear probe of each modality: how much a linear classifier reads off the features.

Training that ends below it has gone wrong, or has an encoder that does not fit the features.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from amid.data.feature_store import FeatureStore
from amid.data.manifest import UNLABELLED

PARTS = 4  # of a sequence, each with its mean and deviation
MOST_CLIPS = 3000  # that a probe is fitted to
MOST_VALUES = 512  # of a clip; more are projected on their first principal components
FRAMES, GRID = 16, 8  # of a film, and rows and columns of means of each frame
STRENGTH = 0.1  # C of the logistic regression, on standardised values


def probe(features: FeatureStore) -> dict[str, Any]:
    """Accuracies in [0, 1], rounded to four digits, of a multinomial logistic regression that is
    fitted to the training clips.

    -> {"chance": share of the most frequent class of the test clips, or of validation where there
    are none, "modalities": {name: {"validation": ..., "test": ...}}}; None for a split without
    clips that have the modality.
    """
    index = features.index
    labels = index["label_index"].to_numpy()
    tested = next(s for s in ("test", "validation", "train") if (index["split"] == s).any())
    counts = np.bincount(labels[(index["split"] == tested) & (labels != UNLABELLED)])
    found = {m: _accuracies(features, m, labels) for m in features.modalities}
    return {"chance": round(counts.max() / counts.sum(), 4), "modalities": found}


def write_probe(features: FeatureStore, folder: Path) -> list[str]:
    """Writes `probe` as `folder`/probe.json and returns it as lines."""
    found = probe(features)
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    (folder / "probe.json").write_text(text, encoding="utf-8")
    return as_lines(found)


def as_lines(probed: dict[str, Any]) -> list[str]:
    """A sentence for each modality of what `probe` found."""
    chance = f"chance {100 * probed['chance']:.1f} %"
    lines = []
    for modality, at in probed["modalities"].items():
        shown = [f"{100 * at[s]:.1f} % on {s}" for s in ("test", "validation") if at[s] is not None]
        lines.append(f"linear probe of {modality}: {', '.join(shown) or 'no clips'} ({chance})")
    return lines


def _accuracies(
    features: FeatureStore, modality: str, labels: np.ndarray
) -> dict[str, float | None]:
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    has = features.index[f"has_{modality}"].to_numpy(bool)
    split = features.index["split"].to_numpy()
    rows = {name: np.flatnonzero(has & (split == name)) for name in ("train", "validation", "test")}
    found: dict[str, float | None] = {"validation": None, "test": None}
    train = rows["train"][labels[rows["train"]] != UNLABELLED]
    if len(train) > MOST_CLIPS:
        train = np.sort(np.random.default_rng(0).permutation(train)[:MOST_CLIPS])
    if len(np.unique(labels[train])) < 2:
        return found
    values = summaries(features, modality, train)
    steps: list[Any] = [StandardScaler()]
    if values.shape[1] > MOST_VALUES:
        count = min(MOST_VALUES, len(train) - 1)
        steps.append(PCA(count, svd_solver="randomized", random_state=0))
    model = make_pipeline(*steps, LogisticRegression(C=STRENGTH, max_iter=100))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # as good as it gets in this time
        model.fit(values, labels[train])
    for name in found:
        if len(rows[name]):
            right = model.predict(summaries(features, modality, rows[name])) == labels[rows[name]]
            found[name] = round(float(right.mean()), 4)
    return found


def summaries(features: FeatureStore, modality: str, rows: np.ndarray) -> np.ndarray:
    """float64 (K, values) of the clips at `rows` (K,): a vector as it is; of a sequence the mean
    and deviation of `PARTS` equal parts and the deviation of all; a film as a sequence of `GRID` x
    `GRID` means of `FRAMES` frames."""
    array = features.array(modality)
    if not features.ragged(modality):
        if array.ndim == 2:
            return np.asarray(array[rows], np.float64)
        return np.stack([_of_sequence(array[row]) for row in rows])
    starts, lengths = features.spans(modality)
    return np.stack([_of_sequence(array[starts[r] : starts[r] + lengths[r]]) for r in rows])


def _of_sequence(values: np.ndarray) -> np.ndarray:
    """(steps, ...) -> (values,)."""
    if values.ndim > 2:
        values = _grid(values[np.linspace(0, len(values) - 1, FRAMES).round().astype(int)])
    values = np.asarray(values, np.float64)
    parts = np.array_split(values, PARTS) if len(values) >= PARTS else [values] * PARTS
    moments = [part.mean(0) for part in parts] + [part.std(0) for part in parts]
    return np.concatenate([*moments, values.std(0)])


def _grid(frames: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) -> (T, GRID * GRID): means of equal rectangles of the grey frames."""
    grey = np.asarray(frames, np.float64).reshape(*frames.shape[:3], -1).mean(-1)  # (T, H, W)
    bands = [band.mean(1) for band in np.array_split(grey, min(GRID, grey.shape[1]), axis=1)]
    bands = np.stack(bands, 1)  # (T, GRID, W)
    columns = np.array_split(bands, min(GRID, bands.shape[2]), axis=2)
    return np.stack([c.mean(2) for c in columns], 2).reshape(len(frames), -1)
