"""torchvision beside a torch that its wheel was not compiled for.

torchvision's wheels are compiled for CUDA. Beside a CPU build of torch their compiled operators do
not load, and `import torchvision` ends with "operator torchvision::nms does not exist", though its
networks are plain torch. Operators that are missing are declared here without a kernel: the import
goes through, and a call of one of them (they belong to object detection) is an error.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from amid.errors import AmidError

if TYPE_CHECKING:
    from torch.library import Library

# Those that `import torchvision` itself refers to, with the signatures of its version 0.28.
OPERATORS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def torchvision() -> ModuleType:
    """The package, importable beside any torch. Raises AmidError where it is not installed."""
    if find_spec("torchvision") is None:
        raise AmidError(
            "The extractor needs the package torchvision, which is not installed: install it as "
            "requirements-paper.txt says."
        )
    declare_operators()
    return importlib.import_module("torchvision")


@lru_cache
def declare_operators() -> Library | None:
    """Declare what torchvision's import would miss; None where nothing is missing.

    The result must be kept, as torch forgets a library's operators with it: the cache does.
    Harmless where torchvision is not installed, or is imported already.
    """
    import torch

    spec = find_spec("torchvision")
    if spec is None or _loads([Path(folder) for folder in spec.submodule_search_locations or ()]):
        return None
    missing = [
        signature
        for name, signature in OPERATORS.items()
        if not hasattr(torch.ops.torchvision, name)
    ]
    if not missing:
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for signature in missing:
        library.define(signature)
    return library


def _loads(folders: list[Path]) -> bool:
    """Whether torchvision's compiled operators fit this torch; loads them if so."""
    import torch

    for folder in folders:
        for library in sorted([*folder.glob("_C*.so"), *folder.glob("_C*.pyd")]):
            try:
                torch.ops.load_library(str(library))
            except OSError:
                continue
            return True
    return False
