"""The contrastive loss of GMC (Poklukar et al., ICML 2022): NT-Xent of joint and single modalities.

Source: miguelsvasco/gmc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def joint_contrastive(joint: Tensor, modalities: Sequence[Tensor], temperature: float) -> Tensor:
    """Sum over the modalities of NT-Xent with the joint one, in nats: (B, D) each -> scalar.

    For a modality z the 2B rows are those of `joint` and of z, a row's positive is its partner:
        (1/2B) sum over the rows u of -u . partner(u) / t + log sum over the other 2B - 1 rows v
        of exp(u . v / t).
    Rows come in L2-normalised and are used as they are. Gradients flow to all. A batch of one gives
    0. Difference to the released code: log-sum-exp, hence finite at low temperatures.
    """
    size = len(joint)
    itself = torch.eye(2 * size, dtype=torch.bool, device=joint.device)  # (2B, 2B)
    partners = torch.arange(2 * size, device=joint.device).roll(size)  # (2B,)
    total = joint.new_zeros(())
    for modality in modalities:
        rows = torch.cat([joint, modality])  # (2B, D)
        scores = (rows @ rows.T / temperature).masked_fill(itself, -math.inf)  # (2B, 2B)
        total = total + cross_entropy(scores, partners)
    return total
