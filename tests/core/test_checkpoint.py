"""Checkpoints: equal bytes for equal content, one generation back, no flipped bit unnoticed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from amid.core.checkpoint import previous, read_checkpoint, read_newest, write_checkpoint
from amid.errors import AmidError

TENSORS = {
    "networks.weight": torch.arange(60, dtype=torch.float32).reshape(5, 12),
    "optimiser.0.step": torch.tensor(3.0),
    "random.cpu": torch.arange(40, dtype=torch.uint8),
    "empty": torch.zeros(0, 4),
}
STATE = {"epoch": 3, "history": [{"loss": 0.1}], "position": 2}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", TENSORS, STATE)
    tensors, state = read_checkpoint(tmp_path / "a.safetensors")
    assert state == STATE
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert torch.equal(tensors[name], value)
        assert tensors[name].dtype == value.dtype


def test_the_bytes_depend_on_the_content_alone(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", TENSORS, STATE)
    write_checkpoint(tmp_path / "b.safetensors", dict(reversed(TENSORS.items())), STATE)
    first, second = (tmp_path / f"{n}.safetensors" for n in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_the_one_before_stays_where_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for epoch in (1, 2, 3):
        write_checkpoint(path, TENSORS, {**STATE, "epoch": epoch}, keep=True)
    assert read_checkpoint(path)[1]["epoch"] == 3
    assert read_checkpoint(previous(path))[1]["epoch"] == 2
    path.unlink()  # killed between the two renames
    assert read_newest(path)[1]["epoch"] == 2
    previous(path).unlink()
    assert read_newest(path) is None


@pytest.mark.parametrize("seed", range(4))
def test_every_flipped_bit_is_noticed(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, TENSORS, STATE)
    whole = path.read_bytes()
    draw = random.Random(seed)
    for bit in draw.sample(range(8 * len(whole)), 100):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(AmidError, match=r"a\.safetensors"):
            read_checkpoint(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_cut_file_is_named(share: float, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, TENSORS, STATE)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(AmidError, match="delete it and run again"):
        read_checkpoint(path)
