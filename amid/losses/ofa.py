"""OFA-KD's loss on logits (Hao et al., NeurIPS 2023), as its released code computes it.

Source: Hao840/OFAKD.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import one_hot


def enhanced_cross_entropy(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    gamma: float | Tensor,
    temperature: float,
) -> Tensor:
    """-sum over c of [(q_c + [c = y])^gamma - [c = y]] log p_c, batch mean in nats.

    (B, C), (B, C), (B,) int64 -> scalar; p, q: softmax(logits / temperature) of student and
    teacher. With gamma 1 it is the cross-entropy with q; gamma above 1 raises the true class's
    weight by the teacher's certainty of it. Not 0 for equal sides, and there is no square of the
    temperature. Gradients flow to the student alone.
    """
    log_p = (student_logits / temperature).log_softmax(dim=1)  # (B, C)
    q = (teacher_logits.detach() / temperature).softmax(dim=1)  # (B, C)
    true = one_hot(labels, q.shape[1]).to(q.dtype)  # (B, C)
    return -(((q + true) ** gamma - true) * log_p).sum() / len(labels)
