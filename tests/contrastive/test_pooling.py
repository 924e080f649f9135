"""Pooling before the LeakyReLU gives what the two modules give, and leaves an encoder's state."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from amid.contrastive.networks import PairEncoders
from amid.contrastive.pooling import PooledLeakyReLU, fuse_pooling
from amid.networks.encoders import CnnEncoder

NUMBERS = {"channels": [8, 12], "kernel": 3, "dropout": 0.2}


def gradient(module: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Output, and the gradient of its products with weights that differ everywhere."""
    x = x.clone().requires_grad_()
    found = module(x)
    (found * torch.arange(1.0, found.numel() + 1).reshape(found.shape)).sum().backward()
    return found.detach(), x.grad


@pytest.mark.parametrize("steps", [1, 2, 7, 8])
def test_values_and_gradients_are_those_of_the_two_modules(steps: int) -> None:
    x = torch.randn(3, 4, steps, generator=torch.Generator().manual_seed(0))
    x[0] = 0.5  # equal steps: the first has the gradient
    x[1, 0] = -0.5
    two = nn.Sequential(nn.LeakyReLU(0.2), nn.MaxPool1d(2, ceil_mode=True))
    for one, other in zip(gradient(PooledLeakyReLU(0.2), x), gradient(two, x), strict=True):
        assert torch.equal(one, other)


def test_an_encoder_computes_the_same_and_keeps_the_names_of_its_state() -> None:
    torch.manual_seed(0)
    encoder, fused = (CnnEncoder((9, 5), 6, 0.2, NUMBERS) for _ in range(2))
    before = list(fused.state_dict())
    fuse_pooling(fused)
    assert list(fused.state_dict()) == before
    fused.load_state_dict(encoder.state_dict())
    x = torch.randn(4, 9, 5)
    for given in (
        x,
        torch.where(
            torch.arange(9)[:, None] < torch.tensor([9, 5, 3, 8])[:, None, None], x, torch.nan
        ),
    ):
        found = []
        for one in (encoder, fused):
            one.zero_grad()
            torch.manual_seed(1)  # of dropout
            output = one(given)
            output.square().sum().backward()
            found.append([output.detach(), *(p.grad for p in one.parameters())])
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_encoders_of_pairs_pool_first() -> None:
    network = {"dim": 6, "slope": 0.2, "encoders": {"audio": "cnn"}, "cnn": NUMBERS}
    kinds = [type(module) for module in PairEncoders({"audio": (9, 5)}, network, 0).modules()]
    assert kinds.count(PooledLeakyReLU) == 2
    assert nn.MaxPool1d not in kinds


def test_other_poolings_stay() -> None:
    layers = nn.Sequential(nn.LeakyReLU(0.2), nn.MaxPool1d(3, ceil_mode=True))
    fuse_pooling(layers)
    assert [type(layer) for layer in layers] == [nn.LeakyReLU, nn.MaxPool1d]
