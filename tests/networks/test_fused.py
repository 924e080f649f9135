"""Fused layers against torch's own modules, which hold their weights."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from amid.networks.fused import gru, perceptron

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
SLOPE = 0.2


def layers(*widths: int, dtype: torch.dtype = torch.float64) -> list[nn.Linear]:
    torch.manual_seed(0)
    return [nn.Linear(a, b).to(dtype) for a, b in pairwise(widths)]


def stacked(linear: list[nn.Linear], activated: bool) -> nn.Sequential:
    modules = [module for layer in linear for module in (layer, nn.LeakyReLU(SLOPE))]
    return nn.Sequential(*(modules if activated else modules[:-1]))


def recurrent(width: int, size: int, dtype: torch.dtype = torch.float64) -> nn.GRU:
    torch.manual_seed(0)
    return nn.GRU(width, size, batch_first=True).to(dtype)


def results(function: Callable[[], tuple[Tensor, ...]], inputs: list[Tensor]) -> list[Tensor]:
    """What it gives, and the gradients of a weighted sum of it."""
    found = function()
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(y.shape, generator=generator, dtype=y.dtype) for y in found]
    total = sum((y * w).sum() for y, w in zip(found, weights, strict=True))
    return [*found, *torch.autograd.grad(total, inputs)]


def assert_close(found: list[Tensor], wanted: list[Tensor]) -> None:
    """Apart by no more than the type's share of the largest value of each tensor."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        scale = max(1.0, float(other.detach().abs().max()))
        assert float((one - other).abs().max()) <= TOLERANCE[other.dtype] * scale


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("batch", "steps"), [(64, 8), (5, 1), (1, 6), (3, 25)])
def test_gru_is_torchs(dtype: torch.dtype, batch: int, steps: int) -> None:
    module = recurrent(12, 9, dtype)
    x = torch.randn(batch, steps, 12, dtype=dtype, requires_grad=True)
    inputs = [x, *module.parameters()]

    def plain() -> tuple[Tensor, Tensor]:
        states, last = module(x)
        return states, last[0]

    assert_close(results(lambda: gru(module, x), inputs), results(plain, inputs))


@pytest.mark.parametrize("which", [0, 1])
def test_gru_has_the_gradient_of_states_or_of_the_last_alone(which: int) -> None:
    module, x = recurrent(4, 3), torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    inputs = [x, *module.parameters()]

    def plain() -> tuple[Tensor]:
        states, last = module(x)
        return ((states, last[0])[which],)

    assert_close(results(lambda: (gru(module, x)[which],), inputs), results(plain, inputs))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("activated", [True, False])
@pytest.mark.parametrize("shape", [(64, 7), (4, 6, 7), (1, 7), (0, 7)])
def test_perceptron_is_torchs(dtype: torch.dtype, activated: bool, shape: tuple[int, ...]) -> None:
    linear = layers(7, 9, 5, 1, dtype=dtype)
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    inputs = [x, *stacked(linear, activated).parameters()]

    def fused() -> tuple[Tensor]:
        return (perceptron(linear, x, SLOPE, activated=activated),)

    wanted = results(lambda: (stacked(linear, activated)(x),), inputs)
    found = results(fused, inputs)
    if not len(x):
        assert [tuple(t.shape) for t in found] == [tuple(t.shape) for t in wanted]
        assert all(bool((t == 0).all()) for t in found)
    else:
        assert_close(found, wanted)


def test_frozen_weights_get_no_gradient() -> None:
    linear, x = layers(3, 4, 1), torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    perceptron(linear, x, SLOPE, frozen=True).sum().backward()
    assert all(p.grad is None for layer in linear for p in layer.parameters())
    wanted = torch.autograd.grad(stacked(linear, False)(x).sum(), x)[0]
    assert_close([x.grad], [wanted])


def test_some_weights_alone_may_be_trained() -> None:
    linear, x = layers(3, 4, 2), torch.randn(5, 3, dtype=torch.float64)
    linear[0].requires_grad_(False)
    perceptron(linear, x, SLOPE).sum().backward()
    assert linear[0].weight.grad is None
    wanted = torch.autograd.grad(stacked(linear, False)(x).sum(), linear[1].weight)[0]
    assert_close([linear[1].weight.grad], [wanted])


def test_gradients_are_those_of_differences() -> None:
    """The first ones and the second ones, which go through torch's own operations."""
    module, x = recurrent(3, 4), torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    check = torch.autograd.gradcheck, torch.autograd.gradgradcheck
    for one in check:
        assert one(lambda x, *_: gru(module, x), (x, *module.parameters()))
    linear, x = layers(3, 4, 2), torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    weights = [p for layer in linear for p in layer.parameters()]
    for one in check:
        assert one(lambda x, *_: perceptron(linear, x, SLOPE, activated=True), (x, *weights))


def test_the_same_under_autocast_and_in_an_exported_program() -> None:
    module, linear = recurrent(4, 3, torch.float32), layers(4, 4, dtype=torch.float32)
    x = torch.randn(2, 5, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert perceptron(linear, x, SLOPE).dtype == torch.bfloat16

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.linear = module, nn.ModuleList(linear)

        def forward(self, x: Tensor) -> Tensor:
            return gru(self.gru, perceptron(self.linear, x, SLOPE, activated=True))[1]

    with torch.no_grad():
        program = torch.export.export(Both(), (x,))
        assert_close([program.module()(x)], [Both()(x)])
        assert not [node for node in program.graph.nodes if "numpy" in str(node.target)]


def test_a_state_dict_fits_either_way() -> None:
    module = recurrent(4, 3)
    other = recurrent(4, 3)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1)
    x = torch.randn(2, 5, 4, dtype=torch.float64)
    module.load_state_dict(other.state_dict())
    with torch.no_grad():
        assert_close([gru(module, x)[1]], [other(x)[1][0]])
