"""What a loss does to the machine: which tensor operations it calls and how large their results
are."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Operations that wait for the device: .item(), bool(tensor), boolean indexing, .tolist() of a
# scalar.
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2"}


class Observed(TorchDispatchMode):
    """Inside `with Observed() as seen`, backward passes included: seen.names, seen.largest."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.largest = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.names.append(func.overloadpacket.__name__)
        if self.names[-1].startswith("index"):
            masks = [
                leaf for leaf in tree_leaves(args[1]) if getattr(leaf, "dtype", 0) is torch.bool
            ]
            self.names += ["nonzero"] * len(masks)  # called inside the operation
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.largest = max(self.largest, leaf.numel())
        return result

    @property
    def waiting(self) -> set[str]:
        return WAITING & set(self.names)
