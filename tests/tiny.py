"""A clone of the project whose whole DAG is four words and two epochs: a repro is a minute."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from amid.io.checksums import sha256_file
from tests.params import change
from tests.small import ROOT

MADE = ("data", "runs", "reports", "pipelines", "dvc.lock")
FEW = {
    **{"words": ["bin", "lay", "red", "two"], "clips_per_word": 12},
    **{"train": 20, "validation": 12, "test": 16, "auxiliary_clips_per_word": 8},
}
FEW_PAIRS = {"train": 64, "validation": 10, "test": 10}
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org")


def clone(place: Path) -> Path:
    """HEAD at `place`, with tiny params.yaml and nothing made yet: no locks, no reports."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(place)], check=True)
    for path in (*place.rglob("dvc.lock"), *(place / "reports").rglob("*")):
        if path.is_file():
            path.unlink()
    shrink(place)
    for words in (("add", "-A"), ("commit", "-qm", "tiny")):
        subprocess.run(["git", *IDENTITY, *words], cwd=place, check=True)
    return place


def shrink(place: Path) -> None:
    """Every stage stays, with as few clips, epochs, folds and swept values as it can have."""
    path, yaml = place / "params.yaml", YAML()
    values = yaml.load(path.read_text())
    values |= {"datasets": ["avlips"], "seeds": [0], "workers": 2}
    values["training"] |= {"epochs": 2, "warmup_epochs": 1, "milestones": [], "checkpoint_every": 1}
    values["table3"] |= {"folds": [0], "training": {"epochs": 2, "warmup_epochs": 1}}
    values["table3"]["training"]["milestones"] = []
    values["table6"] |= {"alpha": [3.7, 4.0], "beta": [1.5], "gamma": [1.0]}
    values["table7_small"]["training"] |= {"epochs": 6, "warmup_epochs": 1, "batch_size": 32}
    with path.open("w") as file:
        yaml.dump(values, file)
    change(place / "dataset" / "avlips.yaml", {"options": FEW})
    change(place / "dataset" / "avsentences_small.yaml", {"options": FEW_PAIRS})


def reset(place: Path) -> None:
    """Leaves of a clone what is committed: no out, run, cache or MLflow store."""
    for words in (("checkout", "-q", "--", "."), ("clean", "-xffdq")):
        subprocess.run(["git", *words], cwd=place, check=True)


def environment() -> dict[str, str]:
    """Of a `make repro` in a clone, with the packages of this Python and no one's git settings."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "GIT_CONFIG_GLOBAL": os.devnull}


def sums(place: Path) -> dict[str, str]:
    """sha256 of every lock, out and report of a clone."""
    files = [path for name in MADE for path in sorted((place / name).rglob("*")) if path.is_file()]
    files += [place / "dvc.lock"]
    return {str(path.relative_to(place)): sha256_file(path) for path in files if path.exists()}
