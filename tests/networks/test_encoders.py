"""Encoders of sequences: padding with rows of NaN changes nothing."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from amid.networks import load_encoder
from amid.networks.encoders import Standardise

FEATURES, DIM, LENGTHS = 6, 5, (9, 4, 1, 7, 9)
OPTIONS = {
    "gru": [{"hidden": [7], "state": 8}],
    "cnn": [{"channels": [8, 6], "kernel": k, "dropout": 0.0} for k in (1, 3, 4, 5)],
    "resnet": [{"channels": [8, 8, 6], "kernel": k, "dropout": 0.0} for k in (1, 3, 5)],
    "transformer": [
        {"width": 8, "layers": n, "heads": h, "knots": k, "kernel": 3, "dropout": 0.0}
        for n, h, k in ((1, 2, 2), (2, 4, 5))
    ],
}
CASES = [(kind, options) for kind, several in OPTIONS.items() for options in several]


def made(kind: str, options: dict) -> torch.nn.Module:
    torch.manual_seed(0)
    return load_encoder(kind)((None, FEATURES), DIM, 0.2, options)


def sequences() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, FEATURES, generator=generator) * 3 + 1 for n in LENGTHS]


def padded(rows: list[Tensor], steps: int) -> Tensor:
    batch = torch.full((len(rows), steps, FEATURES), torch.nan)
    for filled, row in zip(batch, rows, strict=True):
        filled[: len(row)] = row
    return batch


@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize("steps", [9, 10, 15])
def test_a_padded_sequence_has_the_representation_it_has_alone(kind, options, steps) -> None:
    encoder, rows = made(kind, options), sequences()
    encoder.standardise.fit(padded(rows, steps))
    encoder.train()
    encoder(padded(rows, steps))  # so that running statistics are not 0 and 1
    encoder.eval()
    with torch.no_grad():
        together = encoder(padded(rows, steps))  # (B, D)
        alone = torch.cat([encoder(row[None]) for row in rows])
    assert together.isfinite().all()
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_training_gradients_do_not_depend_on_the_padding(kind, options) -> None:
    rows, found = sequences(), []
    for steps in (9, 14):
        encoder = made(kind, options).train()
        encoder.standardise.fit(padded(rows, steps))
        encoder(padded(rows, steps)).square().sum().backward()
        assert all(p.grad.isfinite().all() for p in encoder.parameters())
        found.append([p.grad for p in encoder.parameters()] + list(encoder.buffers()))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_equal_lengths_behind_padding_are_the_unpadded_path() -> None:
    """Statistics in training mode too: the same bits as without any padding."""
    rows = [row for row in sequences() if len(row) == 9]
    for kind, options in CASES:
        encoder = made(kind, options).train()
        encoder.standardise.fit(torch.stack(rows))
        other = copy.deepcopy(encoder)
        assert torch.equal(encoder(torch.stack(rows)), other(padded(rows, 12)))


@pytest.mark.parametrize("kernel", [3, 5])
def test_batch_statistics_are_of_real_steps_alone(kernel: int) -> None:
    encoder = made("cnn", {"channels": [4], "kernel": kernel, "dropout": 0.0}).train()
    rows = sequences()
    encoder(padded(rows, 20))
    with torch.no_grad():
        maps = [encoder.blocks[0](row.T[None])[0].T for row in rows]  # (L, channels) each
    values = torch.cat(maps)
    norm = encoder.blocks[1]
    torch.testing.assert_close(norm.running_mean, 0.1 * values.mean(0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * values.var(0), rtol=1e-4, atol=1e-6)


def test_the_standard_is_taken_from_real_rows() -> None:
    rows = sequences()
    one, other = Standardise(FEATURES), Standardise(FEATURES)
    one.fit(torch.cat(rows))
    other.fit(padded(rows, 30))
    assert torch.equal(one.mean, other.mean)
    assert torch.equal(one.scale, other.scale)


def test_a_residual_block_adds_its_input() -> None:
    encoder = made("resnet", {"channels": [8, 8], "kernel": 3, "dropout": 0.0}).eval()
    block = encoder.blocks[1]
    assert block.shortcut is None
    torch.nn.init.zeros_(block.second.weight)
    maps = torch.randn(2, 8, 5)
    with torch.no_grad():
        assert torch.equal(block(maps, None), torch.nn.functional.leaky_relu(maps, 0.2))
