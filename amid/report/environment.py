"""What the page is made with: nothing that names a machine, a person, a place or a time."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from amid.reproducible import PINS, platform_fingerprint

PACKAGES = (
    *("torch", "numpy", "pandas", "scipy", "scikit-learn", "opencv-python-headless", "av"),
    *("soundfile", "safetensors", "dvc", "mlflow"),
)


def facts() -> list[tuple[str, str]]:
    """(what, which): Python, the packages that are installed, the kernels' instruction set."""
    import torch

    found = [
        ("Python", platform.python_version()),
        ("instruction set of torch's kernels", torch.backends.cpu.get_cpu_capability()),
        ("platform of the run store", platform_fingerprint()),
        ("threads a run", PINS["OMP_NUM_THREADS"]),
    ]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:  # another build of it, say opencv-python
            continue
    return found
