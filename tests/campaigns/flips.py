"""Flips single bits of features, index, embeddings, cards, their sums and run records; each is to
be refused by what reads the file, and to go unnoticed by nobody.

    python -m tests.campaigns.flips --count 100 --seed 0
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import amid.core.reproducible  # noqa: F401  pins kernels before torch is imported
from amid.core.types import RunRecord, RunSpec
from amid.data.feature_store import FeatureStore
from amid.errors import AmidError
from amid.io import checksums
from amid.runs.embeddings import check_data, freeze_features
from amid.runs.store import RECORD, RunStore
from amid.studies.base import load_records
from tests.recorded import put, record
from tests.small import small_params, small_run, write_data

Check = Callable[[], bool]  # whether the reader of a file finds that it is whole


def passes(read: Callable[[], object]) -> bool:
    checksums.clear_cache()  # the reader is a new process's
    try:
        read()
    except AmidError as error:
        return "`dvc repro`" not in str(error)  # a refusal says how the file is made again
    return True


def prepare(folder: Path) -> dict[Path, Check]:
    """Every file that may be flipped, with what reads it."""
    data = write_data(folder / "avlips")
    features, embeddings = data / "features", data / "embeddings"
    spec: RunSpec = small_run(data, "amid").spec
    freeze_features("text", "auxiliary", _vectors(features), embeddings)
    text = small_run(data, "amid", auxiliary=("audio", "text")).spec
    readers: dict[Path, Check] = {}
    for path in (*features.iterdir(), *embeddings.iterdir()):
        readers[path] = lambda: passes(lambda: _read_all(data, [spec, text]))
    stored = RunRecord(**{**vars(record({"student": 30})), "spec": spec})
    store = RunStore(folder / ".runs")
    store.folder(stored.key).mkdir(parents=True)
    store.model(stored.key).write_bytes(b"weights")
    store.finish(stored)
    for name in (RECORD, checksums.SUMS):
        readers[store.folder(stored.key) / name] = lambda: store.record(stored.key) is not None
    params = small_params(seeds=[0], datasets=["avlips"])
    out = folder / "runs" / "amid" / "avlips" / "amid" / "seed0"
    put(stored, out)
    for name in (RECORD, checksums.SUMS):
        readers[out / name] = lambda: passes(
            lambda: load_records(params, folder / "runs", ["amid"])
        )
    return readers


def _vectors(features: Path) -> FeatureStore:
    """The store with a modality `text` of one vector a clip, and its sums."""
    import numpy as np
    import pandas as pd

    index = pd.read_parquet(features / "index.parquet")
    index["has_text"] = True
    index.to_parquet(features / "index.parquet", index=False)
    values = np.random.default_rng(1).normal(size=(len(index), 11)).astype(np.float32)
    np.save(features / "text.npy", values)
    checksums.record_checksums(features, "index.parquet", "text.npy")
    return FeatureStore.open(features)


def _read_all(data: Path, specs: list[RunSpec]) -> None:
    """What the stages `auxiliary` (every modality's features) and those that train read."""
    store = FeatureStore.open(data / "features")
    for modality in store.modalities:
        store.array(modality)
    check_data(data, specs)


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def campaign(folder: Path, count: int, seed: int) -> tuple[int, Counter[str]]:
    """Flips `count` bits, one at a time, the files in turn; (how many were found, undetected)."""
    readers = prepare(folder)
    assert all(whole() for whole in readers.values()), "nothing is flipped yet"
    chosen = random.Random(seed)
    found, missed = 0, Counter()
    files = sorted(readers)
    for number in range(count):
        path = files[number % len(files)]
        bit = chosen.randrange(8 * path.stat().st_size)
        flip(path, bit)
        if readers[path]():
            missed[f"{path.relative_to(folder)} bit {bit}"] += 1
        else:
            found += 1
        flip(path, bit)
        assert readers[path](), f"{path} is whole again"
    return found, missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    print(f"seed {words.seed}")
    with tempfile.TemporaryDirectory() as folder:
        found, missed = campaign(Path(folder), words.count, words.seed)
    for where in missed:
        print(f"not detected: {where}")
    print(f"{found}/{words.count} bit flips detected")
    raise SystemExit(found != words.count)


if __name__ == "__main__":
    main()
