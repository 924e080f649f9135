"""Extraction of generated clips on a ray cluster of two nodes, one of which is killed on the way.

    python -m tests.campaigns.ray_extraction --clips 200 --kill-after 8

Both nodes are on this machine (ray.cluster_utils), with one CPU each. When so many shards are in
the store, and the node that is not the head works on another one, it is killed with -9. In the end
the features have to be byte for byte those of the local executor, with each clip once, each shard
once, and no child that decodes may have outlived its node.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

import amid.core.reproducible  # noqa: F401  pins kernels before torch is imported
from amid.data.extraction import extract_features, plan_tasks
from amid.data.shards import Settings, cut, decoder
from amid.executors import executor_from_env
from amid.extractors import frame_dct, log_mel
from amid.io.checksums import sha256_bytes
from tests.campaigns.ray_cluster import killed_when, two_nodes
from tests.media.clips import NAN, activity, write_avi

LABELS = 6
EXTRACTORS = {
    "video": ("frame_dct", frame_dct.Options(frames=8, size=[32, 32], coefficients=32)),
    "audio": ("log_mel", log_mel.Options(steps=16, bands=16, snr_db=None)),
}


class Found(NamedTuple):
    """What the campaign saw. busy: a task was running on the node when it was killed."""

    local_seconds: float
    ray_seconds: float
    killed_after: float | None
    busy: bool
    clips: int
    different: list[str]  # files whose bytes are not the local executor's
    shards: int  # names in the store
    planned: int
    orphans: int  # descendants of the killed node that live


def write_clips(folder: Path, clips: int, seconds: float, size: tuple[int, int]) -> pd.DataFrame:
    """So many .avi of MPEG-4 with sound, and their manifest. Every tenth one is damaged."""
    rows = []
    for number in range(clips):
        pictures, sound = activity(number % LABELS, number, seconds, LABELS)
        large = np.stack([cv2.resize(picture, size[::-1]) for picture in pictures])
        path = write_avi(folder / f"{number:04d}.avi", large, sound, codec="mpeg4")
        if number % 10 == 9:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        row = {"id": f"clip {number}", "label": str(number % LABELS), "fold": -1, "group": "g"}
        row["split"] = ("train", "validation", "test")[number // LABELS % 3]
        for modality in EXTRACTORS:
            row |= {f"{modality}_path": path.name}
            row |= {f"{modality}_start": NAN, f"{modality}_end": NAN}
        rows.append(row)
    return pd.DataFrame(rows)


def campaign(
    place: Path, clips: int, *, kill_after: int, files: int, seconds: float, size: tuple[int, int]
) -> Found:
    """Extracts with the local executor, then on the cluster; kill_after: in shards."""
    manifest = write_clips(place / "raw", clips, seconds, size)

    def extracted(name: str, environment: dict[str, str]) -> float:
        """Seconds of an extraction into the folder `name`."""
        settings = Settings.of(environment, 2)
        start = time.monotonic()
        index, lost, _ = extract_features(
            manifest,
            place / "raw",
            place / name,
            EXTRACTORS,
            workers=settings.workers,
            required=list(EXTRACTORS),
            decoder=decoder(settings, executor_from_env(environment), place / "spare"),
        )
        lost.to_csv(place / name / "quarantine.csv", index=False)
        assert index["id"].is_unique
        assert set(index["id"]) | set(lost["id"]) == set(manifest["id"])
        return time.monotonic() - start

    local = extracted("local", {})
    store = place / "store"
    environment = {"AMID_STORE": str(store), "AMID_SHARD_FILES": str(files)}
    descendants: list[int] = []
    with two_nodes() as cluster:
        environment["AMID_EXECUTOR"] = f"ray:{cluster.address}"
        (node,) = cluster.worker_nodes
        due = when_busy(node, lambda: len(names(store)) >= kill_after, descendants)
        start = time.monotonic()
        with killed_when(cluster, due) as killed:
            took = extracted("ray", environment)
        orphans = sum(map(alive, descendants))
    made = {name: sums(place / name) for name in ("local", "ray")}
    assert set(made["local"]) == set(made["ray"])
    return Found(
        local,
        took,
        killed[0] - start if killed else None,
        bool(descendants),
        len(pd.read_parquet(place / "ray" / "index.parquet")),
        [name for name, value in made["local"].items() if made["ray"][name] != value],
        len(names(store)),
        len(cut(plan_tasks(manifest, place / "raw", EXTRACTORS), files)),
        orphans,
    )


def when_busy(node: Any, due: Callable[[], bool], descendants: list[int]) -> Callable[[], bool]:
    """Whether it is due and the node decodes: a worker of it has a child that is not its server's
    alone. Notes the node's descendants."""

    def look() -> bool:
        if not due():
            return False
        raylet = node.all_processes["raylet"][0].process.pid
        found = list(below(raylet))
        if not any(title(pid).startswith("ray::_perform") for pid in found):
            return False
        descendants[:] = found
        return True

    return look


def below(pid: int) -> Iterator[int]:
    """Children of a process, and theirs."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = list(map(int, task.read_text().split()))
        except OSError:
            children = []
        for child in children:
            yield child
            yield from below(child)


def title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether a process runs, after up to five seconds in which it may end."""
    until = time.monotonic() + 5
    while title(pid):  # a zombie has none
        if time.monotonic() > until:
            return True
        time.sleep(0.1)
    return False


def names(store: Path) -> list[Path]:
    return list((store / "names" / "shards").glob("*.json"))


def sums(folder: Path) -> dict[str, str]:
    return {path.name: sha256_bytes(path.read_bytes()) for path in sorted(folder.iterdir())}


def failures(found: Found, clips: int) -> list[str]:
    """What is not as it has to be."""
    return [
        words
        for wrong, words in (
            (found.killed_after is None or not found.busy, "no node was killed at work"),
            (bool(found.different), f"other bytes: {found.different}"),
            (found.clips != clips, f"{found.clips} clips in the index, not {clips}"),
            (found.shards != found.planned, f"{found.shards} shards, not {found.planned}"),
            (found.orphans > 0, f"{found.orphans} processes outlived their node"),
        )
        if wrong
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=200, help="beside those that are damaged")
    parser.add_argument("--kill-after", type=int, default=8)
    parser.add_argument("--files", type=int, default=8, help="of a shard")
    given = parser.parse_args()
    written = given.clips + given.clips // 9
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["AMID_CACHE"] = str(Path(scratch) / "cache")
        found = campaign(
            Path(scratch),
            written,
            kill_after=given.kill_after,
            files=given.files,
            seconds=4.0,
            size=(240, 320),
        )
    for name, value in found._asdict().items():
        print(f"{name}: {value:.1f}" if isinstance(value, float) else f"{name}: {value}")
    wrong = failures(found, written - written // 10)
    print("; ".join(wrong) or f"{found.clips} clips, byte for byte the local executor's")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
