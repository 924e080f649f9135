"""Damages clips in 12 ways in 4 containers, and looks whether each is set aside for that reason.

Good clips of the same containers, and the films of tests/media/films.py, have to be kept as they
are.

python -m tests.campaigns.damage --count 25
"""

import amid.core.reproducible  # noqa: F401  # isort: skip  pins kernels before torch, numpy and OpenCV load

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from amid.data.extraction import extract_features
from amid.data.feature_store import FeatureStore
from amid.extractors import Span, frame_dct, log_mel
from amid.media import MediaError
from tests.media.clips import NAN, hear, see
from tests.media.damage import CLASSES, CONTAINERS, GOOD, flip, good
from tests.media.films import FILMS

EXTRACTORS = {
    "video": ("frame_dct", frame_dct.Options(frames=8, size=[32, 32], coefficients=64)),
    "audio": ("log_mel", log_mel.Options()),
}


def campaign(
    seeds: range,
    folder: Path,
    workers: int,
    films: Mapping[str, Callable[[Path], object]] = FILMS,
) -> tuple[list[str], bool]:
    """Lines to be printed, the last one the sum; whether all is as it must be.

    films: further good clips, each by the function that writes it.
    """
    rows, expected = [], {}
    makers = {name: (damage.make, tuple(CONTAINERS)) for name, damage in CLASSES.items()} | GOOD
    for number, (name, (make, containers)) in enumerate(makers.items()):
        for place, container in enumerate(CONTAINERS):
            if container not in containers:
                continue
            for seed in seeds:
                path = folder / f"{name.replace(' ', '_')}_{seed:03d}.{container}"
                make(path, np.random.default_rng([number, place, seed]))
                rows.append(_row(path))
                expected[path.name] = name, container
    for name, make in films.items():
        make(folder / name)
        rows.append(_row(folder / name))
        expected[name] = "film", ""
    out = folder / "features"
    index, quarantine, _ = extract_features(
        pd.DataFrame(rows), folder, out, EXTRACTORS, workers=workers, required=["video", "audio"]
    )
    reasons = {
        (row.id, row.modality): f"{row.reason}: {row.detail}" for row in quarantine.itertuples()
    }
    store = FeatureStore.open(out)
    places = {name: row for row, name in enumerate(index["id"])}
    right, kept, wrong = Counter(), 0, []
    for name, (kind, container) in expected.items():
        told = [reasons[name, m] for m in EXTRACTORS if (name, m) in reasons]
        if kind not in CLASSES:
            kept += (same := name in places and _as_alone(store, places[name], folder / name))
            if not same:
                wrong.append(f"{name} is good, but lost or changed; {told}")
            continue
        damage = CLASSES[kind]
        judges = [damage.modality] if damage.modality else list(EXTRACTORS)
        found = {reasons.get((name, modality), "").split(":")[0] for modality in judges}
        if name not in places and damage.reason in found:
            right[kind, container] += 1
        else:
            wrong.append(f"{name} must be {damage.reason}; {told}")
    count = len(seeds)
    lines = [f"seeds {seeds.start} to {seeds.stop - 1}", *wrong]
    lines.append(f"{'':20}" + "".join(f"{container:>8}" for container in CONTAINERS))
    for kind in CLASSES:
        shown = "".join(f"{right[kind, c]:>5}/{count}" for c in CONTAINERS)
        lines.append(f"{kind:20}{shown}")
    damaged = len(CLASSES) * len(CONTAINERS) * count
    whole = len(expected) - damaged
    lines.append(
        f"{right.total()}/{damaged} damaged clips quarantined by the right reason, "
        f"{kept}/{whole} good clips kept"
    )
    return lines, right.total() == damaged and kept == whole


def _row(path: Path) -> dict[str, object]:
    """A clip in the manifest: all of the film, and the sound beside it where there is one."""
    wav = path.with_suffix(".wav")
    row = {"id": path.name, "label": "yes", "split": "train", "fold": -1, "group": ""}
    for modality, file in (("video", path), ("audio", wav if wav.exists() else path)):
        row[f"{modality}_path"] = file.name
        row[f"{modality}_start"] = row[f"{modality}_end"] = NAN
    return row


def _as_alone(store: FeatureStore, row: int, path: Path) -> bool:
    """Whether a row of the store is what each extractor makes of the file by itself."""
    for modality, module in (("video", frame_dct), ("audio", log_mel)):
        (values,) = module.extract(path, [Span("", NAN, NAN)], EXTRACTORS[modality][1])
        if not np.array_equal(store.array(modality)[row], values):
            return False
    return True


def single_flips(seeds: range, folder: Path, containers: tuple[str, ...]) -> list[str]:
    """What becomes of clips of which a single bit of picture and sound is another."""
    names = ("found", "equal", "unnoticed")  # equal: to 2 grey levels, and 0.001 of sound
    lines = [f"{'a single bit flipped':20}" + "".join(f"{name:>10}" for name in names)]
    for place, container in enumerate(containers):
        counts = Counter()
        for seed in seeds:
            path = folder / f"single_{seed:03d}.{container}"
            whole = _decoded(good(path, np.random.default_rng([99, place, seed])))
            flip(path, np.random.default_rng([99, place, seed]), every=0)
            try:
                changed = _decoded(path)
            except MediaError:
                counts["found"] += 1
                continue
            near = all(
                a.shape == b.shape and np.abs(a - b).max() <= limit
                for a, b, limit in zip(whole, changed, (2, 0.001), strict=True)
            )
            counts["equal" if near else "unnoticed"] += 1
        lines.append(f"{container:20}" + "".join(f"{counts[name]:>10}" for name in names))
    return lines


def _decoded(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All frames, near enough, and the sound."""
    (frames,) = see(path, frames=40)
    return frames.astype(np.float32), hear(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=25, help="seeds of each class and container")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.count)
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(single_flips(seeds, Path(folder), tuple(CONTAINERS))), flush=True)
        lines, passed = campaign(seeds, Path(folder), options.workers)
    print("\n".join(lines))
    raise SystemExit(not passed)


if __name__ == "__main__":
    main()
