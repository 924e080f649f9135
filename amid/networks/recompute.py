"""Activation checkpointing: a batch is encoded in parts, recomputed when gradients need them.

Memory is that of one part, at the cost of a second forward pass. Losses still compare all samples
of the batch, which gradient accumulation over smaller batches would not. Batch statistics are those
of a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from amid.core.distributed import BatchSlice


def in_parts(encoder: nn.Module, samples: Tensor | BatchSlice, parts: int) -> Tensor:
    """Encodes samples (B, ...) -> (B, D) in at most `parts` parts.

    Of a BatchSlice each process encodes its own samples, and all get the rows of the whole batch.
    """
    if isinstance(samples, BatchSlice):
        return samples.gather(_encoded(encoder, samples, samples.own, parts))
    return _encoded(encoder, samples, samples, parts)


def _encoded(encoder: nn.Module, samples: Tensor | BatchSlice, own: Tensor, parts: int) -> Tensor:
    if parts == 1 or not (encoder.training and torch.is_grad_enabled()):
        return encoder(own)
    size = -(-len(samples) // parts)
    encoded = [
        checkpoint(
            encoder,
            part,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), _statistics_left_alone(encoder)),
        )
        for part in samples.split(size)
    ]
    return torch.cat(encoded)  # (b, D)


@contextmanager
def _statistics_left_alone(encoder: nn.Module) -> Iterator[None]:
    """Keeps running statistics unchanged while a part is encoded for the second time."""
    norms = [m for m in encoder.modules() if getattr(m, "track_running_stats", False)]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(counted)
