"""Encoders of sequences alone, without distillation, against baselines for time series.

Of an extracted data set, `student_alone` is trained with each encoder. Baselines are fitted to the
same training clips' features of the target and judged by the same test clips:

- linear: the probe of `extract`, a logistic regression on means and deviations (inspection.probe);
- neighbour: the nearest neighbour, Euclidean, on standardised values of all steps;
- svm: a support vector machine with RBF kernel (C = 10), on the same;
- minirocket, multirocket: random convolutions with a ridge classifier, of aeon. It wants an older
  pandas than this project, so it has an environment of its own, which --rocket names:

    python -m venv rocket && rocket/bin/pip install aeon==1.6.0
    python -m benchmarks.encoders avlips --data data/avlips --rocket rocket/bin/python
    python -m benchmarks.encoders mine --data data/mine --encoders cnn,resnet --baselines linear

No baseline is tuned. Sequences of unequal length are resampled, linearly, to the longest of the
data set for the baselines (the probe takes them as they are), those for ROCKET to 128 steps at
least: its dilations grow with the length. ROCKET and encoders have seeds, the others need none.
Nothing is written but to a temporary folder.
"""

from __future__ import annotations

import amid.core.reproducible  # isort: skip  # noqa: F401  pins kernels before torch loads

import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from amid.config import Params
from amid.core.types import RunSpec
from amid.data.feature_store import FeatureStore
from amid.data.splits import features_fingerprint, load_splits
from amid.errors import AmidError, ConfigError
from amid.inspection.probe import probe
from amid.losses import UNLABELLED
from amid.networks import ENCODERS, load_encoder
from amid.runs.plan import configured_run
from amid.studies import load_params
from amid.studies.statistics import mean_std
from benchmarks import rocket
from benchmarks.few_labels import accuracies, append, trainer_in, with_numbers
from benchmarks.side_by_side import show

ALONE = "student_alone"
SIMPLE = ("linear", "neighbour", "svm")
LEAST = 128  # steps for ROCKET; on avlips' validation clips better than 64, 32 and its own 8
COLUMNS = ("dataset", "target", "protocol", "model", "seed", "top1")
AEON = "aeon==1.6.0"
Mean = dict[int | None, float]  # Top-1 in percent of each seed; of None: needs no seed


class Sequences(NamedTuple):
    """Of the clips that a run trains on and is tested on: (clips, steps, features) float64."""

    train: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def of_sequences() -> list[str]:
    """The encoders whose input is a sequence."""
    return [name for name in ENCODERS if load_encoder(name).axes == 2]


def with_encoder(params: Params, dataset: str, encoder: str) -> Params:
    """`params` with another encoder of the data set's target."""
    block = params.dataset(dataset)
    encoders = {**block.encoders, block.target: encoder}
    block = block.model_copy(update={"encoders": encoders})
    return params.model_copy(update={"data": {**params.data, dataset: block}})


def student(params: Params, dataset: str, data: Path, encoder: str, seed: int) -> RunSpec:
    fingerprint = partial(features_fingerprint, data)
    params = with_encoder(params, dataset, encoder)
    return configured_run(params, dataset, ALONE, seed, fingerprint).spec


def sequences(data: Path, spec: RunSpec) -> Sequences:
    """The labelled clips of a run, equally long. Raises AmidError if the target is no sequence."""
    splits = load_splits(data, spec)
    for batch in (splits.train, splits.test):
        if getattr(batch.target, "ndim", 0) != 3:
            raise AmidError(
                f"'{spec.target}' of '{spec.dataset}' is no sequence of vectors: these encoders "
                "and baselines have nothing to read."
            )
    if not len(splits.test):
        raise AmidError(f"'{spec.dataset}' has no test clip that has all modalities and a label.")
    labels = splits.train.labels.numpy()
    labelled = labels != UNLABELLED
    train, test = splits.train.target.numpy()[labelled], splits.test.target.numpy()
    steps = train.shape[1]  # of the longest, to which the store pads
    return Sequences(
        resampled(train, steps),
        labels[labelled],
        resampled(test, steps),
        splits.test.labels.numpy(),
    )


def resampled(clips: np.ndarray, steps: int) -> np.ndarray:
    """Sequences (N, any, features), padded by NaN at their ends, -> (N, steps, features), linearly
    between the steps; one that has as many stays as it is."""
    result = np.empty((len(clips), steps, clips.shape[2]))
    for filled, clip in zip(result, clips, strict=True):
        real = clip[~np.isnan(clip[:, 0])].astype(np.float64)
        places = np.linspace(0, len(real) - 1, steps)
        before = np.minimum(places.astype(int), len(real) - 1)
        after = np.minimum(before + 1, len(real) - 1)
        share = (places - before)[:, None]
        filled[:] = real[before] * (1 - share) + real[after] * share
    return result


def linear(data: Path, spec: RunSpec) -> float:
    """Top-1 in percent of the linear probe, on the clips that judge the run."""
    store = FeatureStore.open(data / "features")
    index = store.index.copy()
    others = [m for m in store.modalities if m != spec.target]
    unjudged = ~index[[f"has_{m}" for m in store.modalities]].all(axis=1)
    unjudged |= index["label_index"] == UNLABELLED
    index.loc[(index["split"] == "test") & unjudged, "split"] = "unused"
    index = index.drop(columns=[f"has_{m}" for m in others])
    found = probe(FeatureStore(store.folder, index))["modalities"][spec.target]["test"]
    if found is None:
        raise AmidError(f"'{spec.dataset}': the training clips have fewer than two labels.")
    return 100 * found


def flat(name: str, clips: Sequences) -> float:
    """Top-1 in percent of a baseline on the values of all steps."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    model = KNeighborsClassifier(1) if name == "neighbour" else SVC(C=10.0)
    model = make_pipeline(StandardScaler(), model)
    model.fit(clips.train.reshape(len(clips.train), -1), clips.labels)
    predicted = model.predict(clips.test.reshape(len(clips.test), -1))
    return 100 * float((predicted == clips.test_labels).mean())


def of_rocket(
    python: str, names: list[str], clips: Sequences, seeds: range
) -> dict[str, dict[int, float]]:
    """Top-1 in percent of each classifier and seed, fitted by another interpreter to features that
    are standardised by the training clips. Raises AmidError where it fails."""
    mean, deviation = clips.train.mean((0, 1)), clips.train.std((0, 1))
    scale = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0.0)
    steps = max(clips.train.shape[1], LEAST)
    with tempfile.TemporaryDirectory() as place:
        for name in ("train", "test"):
            values = (resampled(getattr(clips, name), steps) - mean) * scale
            values = np.ascontiguousarray(values.transpose(0, 2, 1), np.float32)
            np.save(Path(place, f"{name}.npy"), values)
        np.save(Path(place, "labels.npy"), clips.labels)
        asked = [rocket.__file__, place, ",".join(names), ",".join(map(str, seeds))]
        done = subprocess.run([python, "-I", *asked], capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise AmidError(f"--rocket: {python} failed: {last}")
        found = {n: np.load(Path(place, f"{n}.npy"), allow_pickle=False) for n in names}
    right = {name: 100 * (p == clips.test_labels).mean(1) for name, p in found.items()}
    return {n: dict(zip(seeds, map(float, of), strict=True)) for n, of in right.items()}


def aeon_of(python: str) -> str:
    """The version of aeon that an interpreter has. Raises ConfigError if it has none."""
    code = "from importlib.metadata import version; print(version('aeon'))"
    try:
        done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True)
    except OSError as error:
        raise ConfigError(f"--rocket: {python} cannot be run: {error.strerror}.") from error
    if done.returncode:
        raise ConfigError(f"--rocket: {python} has no aeon: {python} -m pip install {AEON}")
    return done.stdout.strip()


def chosen(option: str, text: str | None, known: list[str]) -> list[str]:
    """The names of an option; None: all known ones. Raises ConfigError for an unknown one."""
    names = known if text is None else [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            raise ConfigError(f"{option}: unknown name '{name}'; there are: {', '.join(known)}.")
    return names


def row(model: str, what: str, found: Mean) -> dict[str, Any]:
    mean, std = mean_std(list(found.values()))
    spread = "" if std is None else f" ± {std:.1f}"
    return {
        "model": model,
        "what": what,
        "seeds": "-" if None in found else len(found),
        "test Top-1": f"{mean:.1f}{spread}",
    }


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="the name of its block in dataset/")
    parser.add_argument("--data", type=Path, required=True, help="its folder")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--encoders", help="all of sequences, unless named: gru,cnn")
    parser.add_argument("--baselines", help="all, unless named: linear,svm,minirocket; '' for none")
    parser.add_argument("--protocol", choices=["paper", "strong"], help="else the block's")
    parser.add_argument("--rocket", metavar="PYTHON", help=f"an interpreter that has {AEON}")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--csv", type=Path, help="gets a row a run, below those that it has")
    given = parser.parse_args()
    try:
        params = load_params(given.params)
        if given.protocol:
            params = with_numbers(params, given.dataset, {"protocol": given.protocol}, {})
        protocol = params.training_of(given.dataset).protocol
        encoders = chosen("--encoders", given.encoders, of_sequences())
        baselines = chosen("--baselines", given.baselines, [*SIMPLE, *rocket.CLASSIFIERS])
        rockets = [name for name in baselines if name in rocket.CLASSIFIERS]
        if given.rocket and rockets:
            aeon = f"aeon {aeon_of(given.rocket)}"
        elif given.baselines is not None and rockets:
            raise ConfigError(f"{rockets[0]} needs --rocket, an interpreter that has {AEON}.")
        elif rockets:
            print(f"without {', '.join(rockets)}: --rocket names no interpreter that has {AEON}")
            rockets = []
        spec = student(params, given.dataset, given.data, of_sequences()[0], seed=0)
        clips = sequences(given.data, spec)
    except AmidError as error:
        parser.error(str(error))
    seeds = range(given.seeds)
    target = spec.target
    trained, tested = len(clips.train), len(clips.test)
    print(f"{given.dataset}, {target}: {trained} training clips, {tested} test clips, {protocol}")
    rows = []

    def tell(model: str, what: str, found: Mean) -> None:
        rows.append(row(model, what, found))
        for seed, top1 in found.items() if given.csv else ():
            values = [given.dataset, target, protocol, model, seed, top1]
            append(given.csv, dict(zip(COLUMNS, values, strict=True)))

    for name in (name for name in SIMPLE if name in baselines):
        top1 = linear(given.data, spec) if name == "linear" else flat(name, clips)
        tell(name, "scikit-learn", {None: top1})
    if rockets:
        try:
            found = of_rocket(given.rocket, rockets, clips, seeds)
        except AmidError as error:
            sys.exit(str(error))
        for name in rockets:
            tell(name, aeon, dict(found[name]))
    for name in encoders:
        with tempfile.TemporaryDirectory() as place:
            run = trainer_in(Path(place), given.data)
            specs = {s: student(params, given.dataset, given.data, name, s) for s in seeds}
            tell(name, "encoder alone", {s: accuracies(run(of)[0]).test for s, of in specs.items()})
    show(rows, None)


if __name__ == "__main__":
    main()
