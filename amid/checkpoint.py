"""Tensors and a JSON state in one safetensors file, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amid.errors import AmidError
from amid.types import canonical_json

if TYPE_CHECKING:
    from torch import Tensor


def write_atomic(path: Path, data: bytes) -> None:
    """Writes `data` to `path`: after a kill or a full disk there is the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_checkpoint(
    path: Path, tensors: dict[str, Tensor], state: dict[str, Any], *, keep: bool = False
) -> None:
    """A safetensors file whose only metadata entry is JSON, `state` and the sha256 of everything
    (one entry: the order of several is not fixed, and the bytes shall be).

    keep: the file that lay there stays beside it, as `previous(path)`.
    """
    from safetensors.torch import save

    contiguous = {n: v.detach().cpu().contiguous().clone() for n, v in tensors.items()}
    meta = canonical_json({"sha256": _digest(contiguous, state), "state": state})
    data = save(contiguous, metadata={"amid": meta})
    if keep and path.exists():
        path.replace(previous(path))
    write_atomic(path, data)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write_checkpoint` wrote; AmidError names the file when it does not parse or when a bit
    of it is not what was written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads(file.metadata()["amid"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            state, written = meta["state"], meta["sha256"]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise AmidError(f"{path} cannot be read ({error}); delete it and run again.") from None
    if _digest(tensors, state) != written:
        raise AmidError(
            f"{path} is damaged (its content has another sha256); delete it and run again."
        )
    return tensors, state


def read_newest(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The checkpoint at `path`, or the one before where it is missing or damaged; None where there
    is none that can be read."""
    for candidate in (path, previous(path)):
        if candidate.exists():
            try:
                return read_checkpoint(candidate)
            except AmidError as error:
                print(f"warning: {error} An earlier state is taken up.", file=sys.stderr)
    return None


def previous(path: Path) -> Path:
    """Where the checkpoint before the one at `path` lies."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def _digest(tensors: dict[str, Tensor], state: dict[str, Any]) -> str:
    """sha256 over `state` and over names, types, shapes and bytes of the tensors."""
    import torch

    digest = hashlib.sha256(canonical_json(state).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        if value.numel():
            digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
