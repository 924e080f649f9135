"""Fits ROCKET classifiers of aeon to sequences in a folder: the other side of benchmarks.encoders.

It runs in an environment of its own and imports nothing of this project. The folder holds
train.npy and test.npy, float32 (clips, features, steps), and labels.npy, int64 (clips,), of the
training clips. For each classifier NAME it gets NAME.npy, the predicted labels (seeds, test clips).

    PYTHON benchmarks/rocket.py FOLDER minirocket,multirocket 0,1,2
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

CLASSIFIERS = {"minirocket": "MiniRocketClassifier", "multirocket": "MultiRocketClassifier"}


def main() -> None:
    from aeon.classification import convolution_based

    folder, names, seeds = Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3].split(",")
    train, labels, test = (
        np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("train", "labels", "test")
    )
    for name in names:
        of_name = getattr(convolution_based, CLASSIFIERS[name])
        models = (of_name(random_state=int(seed), n_jobs=1) for seed in seeds)
        predicted = [model.fit(train, labels).predict(test) for model in models]
        np.save(folder / f"{name}.npy", np.asarray(predicted, np.int64))


if __name__ == "__main__":
    main()
