"""Tensors and a JSON state in one safetensors file, written whole or not at all."""

from __future__ import annotations

import json
import os
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


def write_checkpoint(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """A safetensors file whose only metadata entry is `state` as JSON (one entry: the order of
    several is not fixed, and the bytes shall be)."""
    from safetensors.torch import save

    contiguous = {name: value.detach().contiguous().clone() for name, value in tensors.items()}
    write_atomic(path, save(contiguous, metadata={"state": canonical_json(state)}))


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write_checkpoint` wrote; AmidError names the file when it does not parse."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise AmidError(f"{path} cannot be read ({error}); delete it and run again.") from None
