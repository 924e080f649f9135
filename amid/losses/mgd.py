"""MFH's modality-general channels (Xue et al., ICLR 2023): what of a teacher a student can know.

Source: zihuixue/MFH. MST-Distill calls the method MGDFR.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def channel_salience(
    student_logits: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """How far the teacher's logits leave the student's when one channel is permuted.

    (B, C), (B, D), (C, D), (C,) -> (D,): of channel d, the mean over all permutations of F_.d among
    the samples of the mean squared difference between the teacher's new logits F W' + b and the
    student's. Large where student and teacher agree because of the channel: it is modality-general.

    The released code draws ten permutations. Behind F stands one linear layer here, so that the
    mean over all of them has a closed form: a sample's value is replaced by any one of the batch's
    with equal probability, which adds W_.d (F_jd - F_id) to its logits.
    """
    apart = teacher @ weight.T + bias - student_logits  # (B, C)
    centred = teacher - teacher.mean(dim=0)  # (B, D)
    along = ((apart @ weight) * centred).mean(dim=0)  # (D,)
    spread = centred.square().mean(dim=0) * weight.square().sum(dim=0)  # (D,)
    unchanged = apart.square().sum(dim=1).mean()
    return (unchanged - 2 * along + 2 * spread) / len(bias)


def frozen(teacher: Tensor, salience: Tensor, ratio: float) -> Tensor:
    """The int(ratio D) channels of least salience replaced by their mean over the samples.

    (B, D), (D,) -> (B, D). Of equal saliences the first channels are replaced.
    """
    least = salience.argsort(stable=True)[: int(ratio * len(salience))]
    replaced = torch.zeros_like(salience, dtype=torch.bool).index_fill(0, least, True)  # (D,)
    return torch.where(replaced, teacher.mean(dim=0), teacher)
