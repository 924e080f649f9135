"""Versions and platform behind the page. Nothing names a host, a person, a place or a time."""

from __future__ import annotations

import platform
from collections.abc import Collection, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from amid.core.reproducible import PINS, platform_fingerprint

PACKAGES = (
    *("torch", "numpy", "pandas", "scipy", "scikit-learn", "opencv-python-headless", "av"),
    *("soundfile", "safetensors", "dvc", "mlflow"),
)


def facts(trained_on: Sequence[str]) -> list[tuple[str, str]]:
    """(what, which) of Python, the installed packages and the platform.

    trained_on: as from `platforms`.
    """
    found = [
        ("Python", platform.python_version()),
        *_platforms(platform_fingerprint(), trained_on),
        ("threads a run", PINS["OMP_NUM_THREADS"]),
    ]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:  # another distribution of it, such as opencv-python
            continue
    return found


def platforms(store: Path, keys: Collection[str]) -> list[str]:
    """The platforms that the runs `keys` were trained on, as far as the run store has them. Fetched
    runs, as by `dvc pull`, are not in the run store."""
    return sorted(
        part.name
        for part in (store.iterdir() if store.is_dir() else ())
        if any((part / key / "record.json").is_file() for key in keys)
    )


def _platforms(here: str, trained_on: Sequence[str]) -> list[tuple[str, str]]:
    if list(trained_on) == [here]:
        return [("platform of the run store", here)]
    unknown = "not known: the runs are not in the run store of this machine"
    return [
        ("platform that the runs were trained on", ", ".join(trained_on) or unknown),
        ("platform that this page was made on", here),
    ]
