"""What clips without a label are worth: few labels alone, against the same with the rest beside.

Of an extracted data set's training clips, some of each class keep their label. The rest are left
out, or take part without one. Frozen encoders of auxiliary modalities that were trained on the
training clips are trained again, on the labels that are left. Each configuration is compared with
the first one, seed by seed: a paired t test, not corrected (benchmarks.paired corrects those of
a table). Nothing is written but to a temporary folder. Rows can be given here in place of
params.yaml; trials of them, told by --on-validation, take seeds that no table reports. So can
numbers of the training and of the networks, for students and teachers; frozen encoders keep theirs.

    python -m benchmarks.few_labels avlips --data data/avlips --labels 4
    python -m benchmarks.few_labels avlips --data data/avlips --labels 4,8,16 --csv few.csv
    python -m benchmarks.few_labels avlips --data data/avlips --others-only --configurations kd \\
        --first-seed 100 --on-validation \\
        --rows '{js_16: {method: amid, teacher: fixed, jensen_shannon: 16.0}}'
    python -m benchmarks.few_labels avlips --data data/avlips --others-only \\
        --training '{augmentation: {}}' --network '{gru: {hidden: [32, 16], state: 32}}'
"""

from __future__ import annotations

import amid.core.reproducible  # isort: skip  # noqa: F401  pins kernels before torch loads

import shutil
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from ruamel.yaml import YAML, YAMLError

from amid.config import Params, check, unknown
from amid.core.types import RunRecord, RunSpec
from amid.data.feature_store import FeatureStore
from amid.data.splits import embeddings_folder, features_fingerprint
from amid.errors import ConfigError
from amid.io.checksums import record_checksums
from amid.losses import UNLABELLED
from amid.runs.embeddings import freeze, freeze_features
from amid.runs.plan import auxiliary_runs, configured_run
from amid.studies import load_params
from amid.studies.statistics import paired_t
from amid.training.job import MODEL, TrainingJob
from amid.training.train import train

COLUMNS = ("dataset", "labels", "others", "configuration", "seed", "top1")
Trained = Callable[[RunSpec], tuple[RunRecord, Path]]


def with_few_labels(data: Path, folder: Path, labels: int, *, others: bool) -> Path:
    """A copy of the data set `data` at `folder` where `labels` training clips of each class keep
    their label. others: whether the rest stay, without one."""
    shutil.copytree(data / "features", folder / "features")
    shutil.copytree(embeddings_folder(data), embeddings_folder(folder))
    index = pd.read_parquet(folder / "features" / "index.parquet")
    order = np.random.default_rng(0).permutation(len(index))
    train = index.iloc[order][index["split"].iloc[order] == "train"]
    kept = set(train.groupby("label_index").head(labels).index)
    quiet = sorted(set(train.index) - kept)
    if others:
        index.loc[quiet, "label"] = None
        index.loc[quiet, "label_index"] = UNLABELLED
    else:
        index.loc[quiet, "split"] = "unused"
    index.to_parquet(folder / "features" / "index.parquet", index=False)
    names = (path.name for path in (folder / "features").iterdir() if path.suffix != ".json")
    record_checksums(folder / "features", *names)
    return folder


def trainer_in(folder: Path, data: Path) -> Trained:
    """Trains each run once, and remembers it."""
    found: dict[str, tuple[RunRecord, Path]] = {}

    def trained(spec: RunSpec, teacher: Path | None = None) -> tuple[RunRecord, Path]:
        if spec.key not in found:
            place = folder / spec.key
            place.mkdir()
            found[spec.key] = train(TrainingJob(spec, data, place, teacher=teacher)), place / MODEL
        return found[spec.key]

    return trained


def encode_auxiliary(params: Params, dataset: str, data: Path, trained: Trained) -> None:
    """Trains the auxiliary encoders on the labels that are left, where they have no own corpus."""
    store = FeatureStore.open(data / "features")
    if (store.index["split"] == "auxiliary").any():
        return
    out = embeddings_folder(data)
    for run in auxiliary_runs(params, dataset, "train", partial(features_fingerprint, data)):
        freeze(*trained(run.spec), store, out)
    for modality, encoder in params.dataset(dataset).encoders.items():
        if encoder == "none":
            freeze_features(modality, "train", store, out)


def read_mapping(option: str, text: str, example: str) -> dict[str, Any]:
    """An option's mapping, in YAML as of params.yaml. Raises ConfigError if it is none."""
    try:
        values = YAML(typ="safe").load(text)  # as params.yaml is read: 1e-3 is a number
    except YAMLError as error:
        raise ConfigError(f"{option}: no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{option}: wants a mapping, such as {example}.")
    return values


def read_rows(text: str) -> dict[str, dict[str, Any]]:
    """Configurations, a mapping in YAML as of params.yaml. Raises ConfigError if it is none."""
    example = "{mine: {method: amid, alpha: 1.0}}"
    rows = read_mapping("--rows", text, example)
    if not all(isinstance(row, dict) for row in rows.values()):
        raise ConfigError(f"--rows: wants a mapping, such as {example}.")
    return rows


def with_rows(params: Params, rows: dict[str, dict[str, Any]]) -> Params:
    """`params` with more configurations. Raises ConfigError where a number in one is wrong."""
    update = {"configurations": {**params.configurations, **rows}}
    params = params.model_copy(update=update)
    for name in rows:
        params.resolved(name)
    return params


def with_numbers(
    params: Params, dataset: str, training: dict[str, Any], network: dict[str, Any]
) -> Params:
    """`params` with other numbers of the data set's training and of the networks. Raises
    ConfigError where one is wrong."""
    block = params.dataset(dataset)
    block = block.model_copy(update={"training": {**block.training, **training}})
    values = params.network.model_dump()
    for name, given in network.items():
        both = isinstance(given, dict) and isinstance(values.get(name), dict)
        values[name] = {**values[name], **given} if both else given
    networks = check(type(params.network), values, "network")
    update = {"data": {**params.data, dataset: block}, "network": networks}
    params = params.model_copy(update=update)
    params.training_of(dataset)
    return params


def numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


class Accuracies(NamedTuple):
    """Top-1 of a run in percent; NaN without validation clips."""

    test: float
    validation: float


def accuracies(record: RunRecord) -> Accuracies:
    history = record.history[record.best_epoch]
    validated = history.get(f"validation_{record.selected_on}", np.nan)
    return Accuracies(100 * record.accuracy(record.selected_on), 100 * validated)


def told(
    found: Sequence[Accuracies],
    taught: Sequence[Accuracies],
    first: Sequence[float],
    *,
    on_validation: bool = False,
) -> tuple[str, list[float]]:
    """What is said of a configuration's runs, and the accuracies that it is said of.

    found, taught: of the students and of their fixed teachers, one a seed. first: accuracies of the
    first configuration, empty for itself. on_validation: nothing of the test split is said.
    """
    at = "validation" if on_validation else "test"
    values = [getattr(one, at) for one in found]
    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    shown = f"{np.mean(values):.1f} ± {spread:.1f}"
    shown += " on validation" if on_validation else ""
    if first and len(values) > 1:
        p = paired_t(values, first)
        gain = f"{np.mean(values) - np.mean(first):+.1f}"
        shown += f", {gain} to the first (p = {'-' if p is None else f'{p:.1g}'})"
    validated = np.mean([one.validation for one in found])
    if not on_validation and not np.isnan(validated):
        shown += f"; on validation {validated:.1f}"
    if taught:
        shown += f"; its fixed teacher {np.mean([getattr(one, at) for one in taught]):.1f}"
    return shown, values


def validated_on(data: Path) -> bool:
    """Whether the data set has validation clips."""
    index = pd.read_parquet(data / "features" / "index.parquet", columns=["split"])
    return bool((index["split"] == "validation").any())


def append(path: Path, row: dict[str, object]) -> None:
    """Adds a row to a table, which is begun where there is none."""
    frame = pd.DataFrame([row])
    frame.to_csv(path, mode="a", header=not path.exists(), index=False, float_format="%.4f")


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="the name of its block in dataset/")
    parser.add_argument("--data", type=Path, required=True, help="its folder")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument(
        "--labels", type=numbers, default=(4,), help="of each class: one number or several"
    )
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--configurations", default="student_alone,kd,l_ft,amid,amid_unlabelled")
    parser.add_argument("--rows", default="{}", help="more configurations, as of params.yaml")
    parser.add_argument("--training", default="{}", help="numbers of the block's training")
    parser.add_argument("--network", default="{}", help="numbers of the networks, but frozen ones")
    parser.add_argument("--others-only", action="store_true", help="no runs on the labelled alone")
    parser.add_argument("--csv", type=Path, help="gets a row a run, below those that it has")
    parser.add_argument(
        "--on-validation",
        action="store_true",
        help="tell the accuracy on validation in place of test: for a choice among rows",
    )
    given = parser.parse_args()
    if given.on_validation and given.csv:
        parser.error("--csv is of test accuracies: leave it or --on-validation out")
    names = given.configurations.split(",")
    try:
        rows = read_rows(given.rows)
        base = with_rows(load_params(given.params), rows)
        training = read_mapping("--training", given.training, "{augmentation: {}}")
        network = read_mapping("--network", given.network, "{gru: {state: 32}}")
        params = with_numbers(base, given.dataset, training, network)
        names += [name for name in rows if name not in names]
        for name in names:
            if name not in params.configurations:
                known = params.configurations
                raise ConfigError(unknown(f"configuration '{name}'", name, known, ""))
        if given.on_validation and not validated_on(given.data):
            raise ConfigError(f"--on-validation: '{given.dataset}' has no validation clips.")
    except ConfigError as error:
        parser.error(str(error))
    for labels, others in product(given.labels, (True,) if given.others_only else (False, True)):
        with tempfile.TemporaryDirectory() as place:
            data = with_few_labels(given.data, Path(place, "data"), labels, others=others)
            trained = trainer_in(Path(place), data)
            features_fingerprint.cache_clear()
            encode_auxiliary(base, given.dataset, data, trained)
            features_fingerprint.cache_clear()
            fingerprint = partial(features_fingerprint, data)
            beside = "with the others" if others else "labelled alone"
            first: list[float] = []
            for name in names:
                found, taught = [], []
                for seed in range(given.first_seed, given.first_seed + given.seeds):
                    run = configured_run(params, given.dataset, name, seed, fingerprint)
                    teacher = None
                    if run.teacher:
                        known, teacher = trained(run.teacher)
                        taught.append(accuracies(known))
                    found.append(accuracies(trained(run.spec, teacher)[0]))
                    if given.csv:
                        row = [given.dataset, labels, int(others), name, seed, found[-1].test]
                        append(given.csv, dict(zip(COLUMNS, row, strict=True)))
                shown, values = told(found, taught, first, on_validation=given.on_validation)
                first = first or values
                print(f"{given.dataset}, {labels} a class, {beside}: {name} {shown}", flush=True)


if __name__ == "__main__":
    main()
