"""Tensors and a JSON state in one safetensors file, written atomically."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amid.errors import AmidError
from amid.io.atomic import write_atomic
from amid.io.canonical_json import canonical_json

if TYPE_CHECKING:
    from torch import Tensor


def write_checkpoint(
    path: Path, tensors: dict[str, Tensor], state: dict[str, Any], *, keep: bool = False
) -> None:
    """Writes a safetensors file whose only metadata entry is JSON: `state` and a sha256 of all.

    A single entry, as the order of several is not fixed and equal content must give equal bytes.

    keep: an existing file at `path` is kept as `previous(path)`.
    """
    from safetensors.torch import save

    contiguous = {n: v.detach().cpu().contiguous().clone() for n, v in tensors.items()}
    meta = canonical_json({"sha256": _digest(contiguous, state), "state": state})
    data = save(contiguous, metadata={"amid": meta})
    if keep and path.exists():
        path.replace(previous(path))
    write_atomic(path, data)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what `write_checkpoint` wrote.

    Raises:
        AmidError: the file does not parse, or its content does not match its sha256.
    """
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
    """Reads the checkpoint at `path`, or the previous one if that is missing or damaged.

    Returns None if there is neither.
    """
    for candidate in (path, previous(path)):
        if candidate.exists():
            try:
                return read_checkpoint(candidate)
            except AmidError as error:
                print(f"warning: {error} An earlier state is used.", file=sys.stderr)
    return None


def previous(path: Path) -> Path:
    """Path of the checkpoint before the one at `path`."""
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
