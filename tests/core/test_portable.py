"""torch's products and square roots by numpy: the results that torch gives, for any inputs."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from itertools import product as pairs

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from amid.core import portable
from amid.core.portable import FUNCTIONS, HANDLED, product, route_to_numpy
from tests.small import ROOT

FLOATS = (torch.float32, torch.float64)
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "rows": lambda x: x,
    "columns": lambda x: x.mT.contiguous().mT,
    "every other column": lambda x: torch.stack([x, x + 1], -1).flatten(-2)[..., ::2],
    "every other row": lambda x: torch.stack([x, x + 1], -2).flatten(-3, -2)[..., ::2, :],
    "a part": lambda x: torch.nn.functional.pad(x, (1, 2, 3, 1))[..., 3:-1, 1:-2],
    "one row": lambda x: x[..., :1, :].expand_as(x),
    "one column": lambda x: x[..., :1].expand_as(x),
    "one number": lambda x: x[..., :1, :1].expand_as(x),
}


def drawn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)


def written_out(a: Tensor, b: Tensor) -> Tensor:
    """a b in float64, without a product of torch's."""
    a, b = a.double(), b.double()
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)


def close(found: Tensor, wanted: Tensor, dtype: torch.dtype) -> None:
    assert found.dtype is dtype
    tolerance = 2e-5 if dtype is torch.float32 else 1e-12
    torch.testing.assert_close(found.double(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("left", "right"), list(pairs(LAYOUTS, LAYOUTS)))
def test_products_of_any_layout(left: str, right: str, dtype: torch.dtype) -> None:
    a = LAYOUTS[left](drawn(3, 5, 7, dtype=dtype))
    b = LAYOUTS[right](drawn(3, 7, 4, dtype=dtype, seed=1))
    bias = drawn(3, 5, 4, dtype=dtype, seed=2)
    wanted = written_out(a, b)
    close(torch.bmm(a, b), wanted, dtype)
    close(torch.mm(a[0], b[0]), wanted[0], dtype)
    close(product(a, b), wanted, dtype)
    close(torch.baddbmm(bias, a, b), bias.double() + wanted, dtype)
    close(torch.addmm(bias[0], a[0], b[0]), bias[0].double() + wanted[0], dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_layers_and_operators_come_to_the_same_kernels(dtype: torch.dtype) -> None:
    x, weight, bias = drawn(2, 6, 5, dtype=dtype), drawn(4, 5, dtype=dtype), drawn(4, dtype=dtype)
    wanted = written_out(x.reshape(12, 5), weight.T).reshape(2, 6, 4)
    close(x @ weight.T, wanted, dtype)
    close(torch.einsum("bti,oi->bto", x, weight), wanted, dtype)
    close(torch.nn.functional.linear(x, weight, bias), wanted + bias.double(), dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (1, 1, 1)])
def test_products_of_nothing(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    n, k, m = shape
    a, b = drawn(n, k, dtype=dtype), drawn(k, m, dtype=dtype)
    close(torch.mm(a, b), written_out(a, b), dtype)  # zeros where there is nothing to sum
    close(torch.addmm(torch.ones(m, dtype=dtype), a, b), 1 + written_out(a, b), dtype)
    assert torch.bmm(a[None], b[None]).shape == (1, n, m)
    assert torch.bmm(a[None][:0], b[None][:0]).shape == (0, n, m)


@pytest.mark.parametrize("dtype", FLOATS)
def test_products_into_a_given_tensor(dtype: torch.dtype) -> None:
    a, b, bias = drawn(3, 5, dtype=dtype), drawn(5, 4, dtype=dtype), drawn(4, dtype=dtype)
    wanted = written_out(a, b)
    for out in (torch.full((3, 4), math.nan), torch.full((4, 3), math.nan).T, torch.empty(0)):
        out = out.to(dtype)
        assert torch.mm(a, b, out=out) is out
        close(out, wanted, dtype)
        assert torch.addmm(bias, a, b, out=out) is out
        close(out, wanted + bias.double(), dtype)
    out = torch.full((1, 3, 4), math.nan, dtype=dtype)
    assert torch.bmm(a[None], b[None], out=out) is out
    close(out[0], wanted, dtype)
    assert torch.baddbmm(bias, a[None], b[None], out=out) is out
    close(out[0], wanted + bias.double(), dtype)
    close(product(a, b, out=out[0]), wanted, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_products_added_in_place(dtype: torch.dtype) -> None:
    a, b = drawn(2, 3, 5, dtype=dtype), drawn(2, 5, 4, dtype=dtype)
    for memory in (drawn(2, 3, 4, dtype=dtype), drawn(2, 4, 3, dtype=dtype).mT):
        before = memory.double().clone()
        assert memory.baddbmm_(a, b, beta=0.5, alpha=2) is memory
        close(memory, 0.5 * before + 2 * written_out(a, b), dtype)
    memory = drawn(3, 4, dtype=dtype)
    before = memory.double().clone()
    assert memory.addmm_(a[0], b[0]) is memory
    close(memory, before + written_out(a[0], b[0]), dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("beta", "alpha"), [(1, 1), (2, 1), (1, -0.5), (0.25, 3), (0, 1), (0, 0)])
def test_scaled_sums(beta: float, alpha: float, dtype: torch.dtype) -> None:
    a, b = drawn(3, 5, dtype=dtype), drawn(5, 4, dtype=dtype)
    for bias in (drawn(3, 4, dtype=dtype), drawn(4, dtype=dtype), drawn(3, 1, dtype=dtype)):
        wanted = beta * bias.double() + alpha * written_out(a, b)
        close(torch.addmm(bias, a, b, beta=beta, alpha=alpha), wanted, dtype)
        found = torch.baddbmm(bias, a[None], b[None], beta=beta, alpha=alpha)
        close(found[0], wanted, dtype)


def test_a_bias_times_nothing_is_not_read() -> None:
    a, b = drawn(3, 5), drawn(5, 4)
    bias = torch.full((3, 4), math.nan, dtype=torch.float64)
    close(torch.addmm(bias, a, b, beta=0), written_out(a, b), torch.float64)
    close(torch.baddbmm(bias, a[None], b[None], beta=0)[0], written_out(a, b), torch.float64)
    assert torch.addmm(bias, a, b).isnan().all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_any_layout(name: str, dtype: torch.dtype) -> None:
    function, reference = getattr(torch, name), FUNCTIONS[name]
    values = drawn(3, 5, 7, dtype=dtype).abs() / 4
    for layout, given in LAYOUTS.items():
        x = given(values).clamp(max=1.0) if layout.startswith("every") else given(values)
        wanted = torch.from_numpy(reference(x.double().numpy()))
        close(function(x), wanted, dtype)
        assert function(values.mT).stride() == torch.abs(values.mT).stride()
        out = torch.empty_strided((3, 5, 7), (1, 3, 15), dtype=dtype)
        assert function(x, out=out) is out
        close(out, wanted, dtype)
        changed = x.clone()
        assert getattr(changed, f"{name}_")() is changed
        close(changed, wanted, dtype)
    for empty in (values[:0], values[:, :0], values.new_empty(0)):
        assert function(empty).shape == empty.shape
    number = function(values[0, 0, 0])
    assert number.shape == ()
    assert number == function(values)[0, 0, 0]


def test_square_roots_are_exact_and_silent() -> None:
    x = drawn(1000, dtype=torch.float32).abs()
    wanted = x.double().sqrt().float()  # of 53 bits, rounded once more to 24: the same
    assert torch.equal(x.sqrt(), wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.tensor([-1.0]).sqrt().isnan()
        assert torch.tensor([2.0]).asin().isnan()
        assert torch.tensor([math.inf]).sqrt() == math.inf


def test_other_types_keep_torch_s_own_kernels() -> None:
    whole = torch.arange(12).reshape(3, 4)
    assert torch.equal(whole @ whole.T, written_out(whole, whole.T).long())
    assert torch.equal(whole.sqrt(), whole.float().sqrt())
    short = drawn(3, 4, dtype=torch.bfloat16)
    torch.testing.assert_close(short @ short.T, (short.float() @ short.float().T).bfloat16())
    assert short.abs().sqrt().dtype is torch.bfloat16
    bent = torch.complex(drawn(3, 3), drawn(3, 3, seed=1))
    parts = bent.real @ bent.real - bent.imag @ bent.imag
    torch.testing.assert_close((bent @ bent).real, parts)
    with pytest.raises(RuntimeError, match="dtype"):
        torch.mm(drawn(2, 2), drawn(2, 2, dtype=torch.float32))
    with pytest.raises(RuntimeError, match="dtype"):
        torch.addmm(drawn(2), drawn(2, 2, dtype=torch.float32), drawn(2, 2))
    with pytest.raises((RuntimeError, ValueError), match=r"shape|mismatch"):
        torch.mm(drawn(2, 3), drawn(2, 3))


DIFFERENTIABLE = {
    "mm": (torch.mm, ((3, 2), (2, 4))),
    "bmm": (torch.bmm, ((2, 3, 2), (2, 2, 4))),
    "addmm": (torch.addmm, ((4,), (3, 2), (2, 4))),
    "baddbmm": (torch.baddbmm, ((3, 4), (2, 3, 2), (2, 2, 4))),
    "scaled": (lambda c, a, b: torch.addmm(c, a, b, beta=2, alpha=0.5), ((3, 4), (3, 2), (2, 4))),
    "linear": (torch.nn.functional.linear, ((2, 3, 2), (4, 2), (4,))),
    **{name: (getattr(torch, name), ((2, 3),)) for name in FUNCTIONS},
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_and_theirs(name: str) -> None:
    function, shapes = DIFFERENTIABLE[name]
    inputs = tuple(
        (0.5 + 0.3 * torch.tanh(drawn(*shape, seed=number))).requires_grad_()
        for number, shape in enumerate(shapes)
    )
    assert gradcheck(function, inputs, check_forward_ad=True)
    assert gradgradcheck(function, inputs)


def test_gradients_reach_leaves_and_no_further() -> None:
    a, b = drawn(3, 5).requires_grad_(), drawn(5, 4)
    (a @ b).sum().backward()
    close(a.grad, b.sum(1).expand(3, 5), torch.float64)
    assert b.grad is None
    with torch.no_grad():
        assert not (a @ b).requires_grad
    with torch.inference_mode():
        found = a @ b
        assert found.is_inference()
        assert found.abs().sqrt_().is_inference()
    close(torch.vmap(torch.mm)(drawn(2, 3, 5), drawn(2, 5, 4)), written_out(
        drawn(2, 3, 5), drawn(2, 5, 4)), torch.float64)  # fmt: skip


def test_autocast_still_takes_the_short_type() -> None:
    layer, x = torch.nn.Linear(5, 4), drawn(3, 5, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        short = layer(x)
    assert short.dtype is torch.bfloat16
    torch.testing.assert_close(short.float(), layer(x), rtol=0.02, atol=0.02)
    short.float().sum().backward()
    assert layer.weight.grad.dtype is torch.float32


def test_products_are_numpy_s_to_the_last_bit() -> None:
    a, b = drawn(64, 128, dtype=torch.float32), drawn(128, 96, dtype=torch.float32)
    assert np.array_equal((a @ b).numpy(), np.matmul(a.numpy(), b.numpy()))
    route_to_numpy()  # once more changes nothing
    assert np.array_equal((a @ b).numpy(), np.matmul(a.numpy(), b.numpy()))
    assert frozenset(FLOATS) == HANDLED
    assert len(portable._KEPT) == 1


UNROUTED = """
import numpy as np
import torch
import amid.core.reproducible as reproducible

a, b = torch.randn(64, 300), torch.randn(300, 64)
before = a @ b
assert torch.get_deterministic_debug_mode() == 0
reproducible.use_deterministic_kernels()
assert torch.get_num_threads() == 1
assert torch.get_deterministic_debug_mode() == 2
after = a @ b
assert np.array_equal(after.numpy(), np.matmul(a.numpy(), b.numpy()))
torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-3)
print(torch.equal(before, after))
"""


def test_the_deterministic_kernels_are_routed_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", UNROUTED], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("False\n", "")
