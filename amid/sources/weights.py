"""Files with the trained weights of frozen networks: on the disk, or downloaded once and kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from amid.errors import AmidError
from amid.io.checksums import sha256_file
from amid.io.project import project_home

if TYPE_CHECKING:
    from torch import Tensor

    from amid.sources.download import Obtained

CACHE = Path(".archives") / "weights"  # below the project's folder


def given(weights: str, sha256: str | None, extractor: str) -> Path:
    """The file that a user names, from the project's folder on. AmidError if it is missing or
    its sum is not the one demanded."""
    path = project_home() / Path(weights).expanduser()
    if not path.is_file():
        raise AmidError(
            f"The weights {path} cannot be read: no such file; put the file there or correct "
            f"`weights` of {extractor}."
        )
    actual = None if sha256 is None else sha256_file(path)
    if actual != sha256:
        raise AmidError(
            f"The weights {path} have the sha256 {actual}, not {sha256}: put the right file "
            f"there, or correct `sha256` of {extractor}."
        )
    return path


def published(
    name: str, address: str, extractor: str, *, sha256: str | None, size: int | None = None
) -> Obtained:
    """A published file, downloaded unless it lies in the cache or in the mirror that AMID_MIRROR
    names. AmidError says where it may be put by hand."""
    from amid.sources.download import obtain, resolve_mirror

    target = project_home() / CACHE / name
    mirror = resolve_mirror(None, os.environ)
    try:
        return obtain(
            name,
            address,
            target,
            mirror=mirror,
            sha256=sha256,
            size=size,
            pin_under=f"`sha256` of {extractor}",
            echo=_say,
        )
    except AmidError as error:
        if target.is_file() or mirror is not None:
            raise
        raise AmidError(
            f"{str(error).removesuffix('.')}; or put the file, fetched on another machine, at "
            f"{target}."
        ) from error


def of_torchvision(name: str, address: str, extractor: str, sha256: str | None) -> Path:
    """A file that torchvision publishes. Of its sum only the start is, in the file's name, which is
    compared here."""
    file = published(name, address, extractor, sha256=sha256)
    start = Path(name).stem.rpartition("-")[2]
    if not file.sha256.startswith(start):
        raise AmidError(
            f"{file.path} is not the file that torchvision published (its sha256 starts with "
            f"{file.sha256[: len(start)]}, not {start}): delete it and run again."
        )
    return file.path


def read(path: Path) -> dict[str, Tensor]:
    """Names and weights of a .safetensors, or of a .pth that holds nothing but weights."""
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load has no error of its own, but raises many others'
        raise _unreadable(path) from error
    if not isinstance(state, dict) or not all(hasattr(value, "shape") for value in state.values()):
        raise _unreadable(path)
    return state


def fitting(
    path: Path, given: dict[str, Tensor], wanted: dict[str, Tensor], network: str
) -> dict[str, Tensor]:
    """The weights `given` by the file `path`, once all that are `wanted` are among them. Raises
    AmidError for one that is missing or of another shape."""
    result = dict(given)
    for name, value in wanted.items():
        if name.endswith(".num_batches_tracked"):  # older files lack it; it takes no part
            result.setdefault(name, value)
        elif name not in given or given[name].shape != value.shape:
            raise AmidError(
                f"The file {path} does not hold {network}'s weights ({name} is missing or of "
                "another shape): give torchvision's file or one with the same names as `weights`."
            )
    return result


def _unreadable(path: Path) -> AmidError:
    return AmidError(
        f"{path} cannot be read as weights, it is damaged or holds other things as well: give a "
        ".safetensors, or a .pth with the weights alone."
    )


def _say(line: str) -> None:
    """Print what the downloader says, but for its advice on pinning, which is for data sets."""
    if "sum not pinned" not in line:
        print(line)
