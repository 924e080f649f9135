"""Perceptrons and GRUs as one function each, with backward passes by hand: torch's results, faster.

At this project's sizes much of a step goes by in the dispatch of small operations. Here nothing is
recorded within a layer, what can be is computed in place, and the gradient of a GRU's weights is
one product over all its steps. The weights stay in torch's own modules: a state_dict fits either
way. What is not of HANDLED types on the CPU, is under autocast, or is exported goes through the
modules themselves, and so do second derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from amid.core.portable import HANDLED

# A run that diverges is told in one sentence, not by numpy's warnings on the way.
SILENT = np.errstate(all="ignore")


def perceptron(
    layers: Sequence[nn.Linear],
    x: Tensor,
    slope: float,
    *,
    activated: bool = False,
    frozen: bool = False,
) -> Tensor:
    """Linear layers with a Leaky ReLU between two: (..., I) -> (..., O).

    slope: of the Leaky ReLU, in (0, 1]. activated: whether there is one behind the last layer too.
    frozen: no gradient reaches the weights.
    """
    weights = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    if frozen:
        weights = [weight.detach() for weight in weights]
    if not _fits(x, weights):
        return _plain_perceptron(x, slope, activated, *weights)
    rows = _Perceptron.apply(x.reshape(-1, x.shape[-1]), slope, activated, *weights)
    return rows.view(*x.shape[:-1], rows.shape[1])


def gru(module: nn.GRU, x: Tensor) -> tuple[Tensor, Tensor]:
    """nn.GRU of one layer and direction from a state of zeros: states and the last of them.

    (B, steps, I) -> (B, steps, H), (B, H).
    """
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    weights = [getattr(module, name) for name in names]
    if not _fits(x, weights):
        states, last = module(x)
        return states, last[0]
    return _Gru.apply(x, *weights)


def _fits(x: Tensor, weights: Sequence[Tensor]) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype in HANDLED
        and all(weight.dtype == x.dtype for weight in weights)
        and not torch.compiler.is_exporting()
        and not torch.is_autocast_enabled("cpu")
    )


def _differentiable(
    plain: Callable[..., Any], inputs: Sequence[Any], gradients: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Gradients of `inputs` that can be differentiated again, by way of torch's own operations."""
    with torch.enable_grad():
        found = plain(*inputs)
    found = found if isinstance(found, tuple) else (found,)
    pairs = [(y, g) for y, g in zip(found, gradients, strict=True) if g is not None]
    wanted = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    given = torch.autograd.grad(
        [y for y, _ in pairs],
        [inputs[i] for i in wanted],
        [g for _, g in pairs],
        create_graph=True,
        allow_unused=True,
    )
    of = dict(zip(wanted, given, strict=True))
    return [of.get(i) for i in range(len(inputs))]


def _plain_perceptron(x: Tensor, slope: float, activated: bool, *weights: Tensor) -> Tensor:
    last = len(weights) - 2
    for place in range(0, len(weights), 2):
        x = functional.linear(x, *weights[place : place + 2])
        if place < last or activated:
            x = functional.leaky_relu(x, slope)
    return x


class _Perceptron(torch.autograd.Function):
    @staticmethod
    @SILENT
    def forward(ctx: Any, x: Tensor, slope: float, activated: bool, *weights: Tensor) -> Tensor:
        arrays = [weight.detach().numpy() for weight in weights]
        hidden, behind = x.detach().numpy(), len(arrays) - (0 if activated else 2)
        below, slopes = [], []  # of each layer: its input, and the slopes of what follows it
        for place in range(0, len(arrays), 2):
            below.append(hidden)
            hidden = np.matmul(hidden, arrays[place].T)  # (N, O)
            hidden += arrays[place + 1]
            if place < behind:
                slopes.append(np.multiply(hidden > 0, 1 - slope, dtype=hidden.dtype))
                slopes[-1] += slope
                hidden *= slopes[-1]
        ctx.slope, ctx.activated, ctx.made = slope, activated, (arrays, below, slopes)
        ctx.save_for_backward(x, *weights)
        return torch.from_numpy(hidden)

    @staticmethod
    @SILENT
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, *weights = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = (x, ctx.slope, ctx.activated, *weights)
            return tuple(_differentiable(_plain_perceptron, inputs, (gradient,)))
        (arrays, below, slopes), wanted = ctx.made, ctx.needs_input_grad
        found: list[Tensor | None] = [None] * (3 + len(arrays))
        flow = gradient.contiguous().numpy()
        for layer in range(len(below) - 1, -1, -1):
            if layer < len(slopes):
                flow = flow * slopes[layer]
            if wanted[3 + 2 * layer]:
                found[3 + 2 * layer] = torch.from_numpy(np.matmul(flow.T, below[layer]))  # (O, I)
            if wanted[4 + 2 * layer]:
                found[4 + 2 * layer] = torch.from_numpy(flow.sum(axis=0))  # (O,)
            if layer or wanted[0]:
                flow = np.matmul(flow, arrays[2 * layer])  # (N, I)
        if wanted[0]:
            found[0] = torch.from_numpy(flow)
        return tuple(found)


def _plain_gru(x: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
    start = x.new_zeros(1, len(x), weights[1].shape[1])
    states, last = torch.gru(x, start, weights, True, 1, 0.0, False, False, True)
    return states, last[0]


class _Gru(torch.autograd.Function):
    """r, z = sigmoid(W x + b + V h + c) of their own rows of the weights, n = tanh(W x + b +
    r (V h + c)) of the third, h' = n + z (h - n).

    Every gate is an array (B, H) of its own, so that all that is elementwise runs over memory that
    lies together. It is numpy's, whose calls and slices cost a third of torch's, but for the
    sigmoid.
    """

    @staticmethod
    @SILENT
    def forward(
        ctx: Any, x: Tensor, w_input: Tensor, w_state: Tensor, b_input: Tensor, b_state: Tensor
    ) -> tuple[Tensor, Tensor]:
        size, (batch, steps, width) = w_state.shape[1], x.shape
        inputs = x.detach().transpose(0, 1).reshape(steps * batch, width)  # steps first
        of_input, of_state = (_of_gates(w) for w in (w_input, w_state))  # (3, H, I), (3, H, H)
        bias, offset = (b.detach().numpy().reshape(3, 1, size) for b in (b_input, b_state))
        gates = np.matmul(inputs.numpy(), of_input.swapaxes(1, 2))  # (3, steps B, H)
        gates += bias
        gates[:2] += offset[:2]
        gates = gates.reshape(3, steps, batch, size)  # r, z, n, once they are computed in place
        resets, updates, news = gates
        sigmoids = torch.from_numpy(gates[:2]).unbind(1)  # (2, B, H) a step
        inner = np.empty_like(news)  # V h + c of n
        states = np.empty_like(news)
        products, scratch = np.empty_like(gates[:, 0]), np.empty_like(news[0])
        inner[0] = offset[2]
        for step in range(steps):
            if step:
                np.matmul(states[step - 1], of_state.swapaxes(1, 2), out=products)
                resets[step] += products[0]
                updates[step] += products[1]
                np.add(products[2], offset[2], out=inner[step])
            sigmoids[step].sigmoid_()
            new, state = news[step], states[step]
            np.multiply(resets[step], inner[step], out=scratch)
            new += scratch
            np.tanh(new, out=new)
            np.subtract(states[step - 1] if step else 0.0, new, out=state)
            state *= updates[step]
            state += new
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, w_input, w_state, b_input, b_state)
        ctx.made = inputs.numpy(), gates, inner, states
        found = torch.from_numpy(states)
        return found.transpose(0, 1).contiguous(), found[-1].clone()

    @staticmethod
    @SILENT
    def backward(
        ctx: Any, of_states: Tensor | None, of_last: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return tuple(_differentiable(_plain_gru, ctx.saved_tensors, (of_states, of_last)))
        x, w_input, w_state, *_ = ctx.saved_tensors
        inputs, (resets, updates, news), inner, states = ctx.made
        steps, batch, size = states.shape
        of_input, of_state = (_of_gates(w) for w in (w_input, w_state))
        given = None if of_states is None else of_states.transpose(0, 1).numpy()
        flow = np.zeros_like(states[0]) if of_last is None else of_last.numpy().copy()
        changes = np.empty((3, *states.shape), states.dtype)  # of what the sigmoids and V h + c are
        outer = np.empty_like(states)  # of what the tanh is of
        kept, slope = np.empty_like(flow), np.empty_like(flow)
        products = np.empty((3, batch, size), flow.dtype)
        for step in range(steps - 1, -1, -1):
            if given is not None:
                flow += given[step]
            new, of_new = news[step], outer[step]
            of_reset, of_update, of_inner = changes[:, step]
            np.subtract(states[step - 1] if step else 0.0, new, out=of_update)
            of_update *= flow
            np.multiply(flow, updates[step], out=kept)  # what h hands on to the step before
            np.subtract(flow, kept, out=of_new)
            np.multiply(new, new, out=slope)
            np.subtract(1.0, slope, out=slope)  # tanh' = 1 - tanh^2
            of_new *= slope
            np.multiply(of_new, inner[step], out=of_reset)
            np.multiply(of_new, resets[step], out=of_inner)
            for gate, of_gate in ((resets[step], of_reset), (updates[step], of_update)):
                np.multiply(gate, gate, out=slope)
                np.subtract(gate, slope, out=slope)  # sigmoid' = s - s^2
                of_gate *= slope
            if step:
                np.matmul(changes[:, step], of_state, out=products)
                np.add(products[0], products[1], out=flow)
                flow += products[2]
                flow += kept
        rows = changes.reshape(3, steps * batch, size)
        before = states.reshape(steps * batch, size)[: (steps - 1) * batch]
        found: list[Any] = [None] * 5
        found[2] = np.matmul(rows[:, batch:].swapaxes(1, 2), before)  # (3, H, H)
        found[4] = rows.sum(axis=1)  # (3, H)
        changes[2] = outer
        found[1] = np.matmul(rows.swapaxes(1, 2), inputs)  # (3, H, I)
        found[3] = np.stack([*found[4][:2], rows[2].sum(axis=0)])
        if ctx.needs_input_grad[0]:
            parts = np.matmul(rows, of_input)  # (3, steps B, I)
            parts[0] += parts[1]
            parts[0] += parts[2]
            found[0] = parts[0].reshape(steps, batch, -1).swapaxes(0, 1)
        shapes = (x.shape, w_input.shape, w_state.shape, (3 * size,), (3 * size,))
        return tuple(
            None if array is None else torch.from_numpy(array).reshape(shape)
            for array, shape in zip(found, shapes, strict=True)
        )


def _of_gates(weight: Tensor) -> np.ndarray:
    """The weights of each gate: (3 H, I) -> (3, H, I)."""
    return weight.detach().numpy().reshape(3, -1, weight.shape[1])
