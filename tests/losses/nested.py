"""Tensors in nested tuples and lists: found, made exact, laid out as single numbers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tests.losses.by_loops import MP


def leaves(values: Any) -> list[Tensor]:
    """The tensors in nested tuples and lists."""
    if isinstance(values, Tensor):
        return [values]
    return [leaf for v in values for leaf in leaves(v)] if isinstance(values, tuple | list) else []


def exact(values: Any) -> Any:
    """The same with tensors as lists of exact numbers."""
    if isinstance(values, Tensor):
        found = values.detach().tolist()
        return _numbers(found) if values.is_floating_point() else found
    if isinstance(values, tuple | list):
        return type(values)(exact(value) for value in values)
    return values


def _numbers(values: Any) -> Any:
    return [_numbers(value) for value in values] if isinstance(values, list) else MP.mpf(values)


def flat(values: Any) -> list[Any]:
    """The single numbers of a result, or of the loops' nested lists."""
    if isinstance(values, Tensor):
        return list(values.reshape(-1))
    if isinstance(values, tuple | list):
        return [number for value in values for number in flat(value)]
    return [values]
