"""A batch through an encoder in parts, whose activations are made again when gradients need them.

The memory is that of one part; the losses still compare all samples of the batch, which gradients
added up over separate batches would not. It costs one forward pass more. Batch statistics are those
of a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from amid.distributed import Share


def in_parts(encoder: nn.Module, samples: Tensor | Share, parts: int) -> Tensor:
    """encoder(samples), (B, ...) -> (B, D), the samples cut into at most so many `parts`.

    Several processes encode the own samples of each part, and all of them get the whole.
    """
    if isinstance(samples, Share):
        return samples.gathered(_encoded(encoder, samples, samples.own, parts))
    return _encoded(encoder, samples, samples, parts)


def _encoded(encoder: nn.Module, samples: Tensor | Share, own: Tensor, parts: int) -> Tensor:
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
    """The second pass normalises by the batch as the first did, but must not count it again."""
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
