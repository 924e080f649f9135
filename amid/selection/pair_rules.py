"""The names of the rules in amid.selection.contrastive, importable without torch."""

from __future__ import annotations

RULES = (
    "random",
    "small_loss",
    "big_loss",
    "clipscore",
    "dissect_warmup",
    "dissect_momentum",
    "oracle",
)
# The numbers of a rule, beside its ratio.
NUMBERS = {"dissect_warmup": ("warmup_epochs",), "dissect_momentum": ("momentum",)}


def kept_count(size: int, ratio: float) -> int:
    """int(size * ratio), at least one."""
    return max(1, int(size * ratio))
