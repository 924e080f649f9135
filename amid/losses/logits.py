"""Divergences between two networks' class probabilities that the compared methods use."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div


def softened_divergence(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float
) -> Tensor:
    """Distillation by temperature^2 KL(teacher || student), batch mean in nats.

    (B, C), (B, C) -> scalar; probabilities are softmax(logits / temperature), and the square keeps
    the gradients' size whatever the temperature. Gradients flow to the student alone.

    Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015.
    """
    # In log-space throughout: a probability that underflows to 0 has no finite logarithm.
    student = (student_logits / temperature).log_softmax(dim=1)  # (B, C)
    teacher = (teacher_logits.detach() / temperature).log_softmax(dim=1)  # (B, C)
    divergence = kl_div(student, teacher, reduction="batchmean", log_target=True)
    return temperature**2 * divergence


def symmetric_divergence(a_logits: Tensor, b_logits: Tensor) -> Tensor:
    """[KL(a || b) + KL(b || a)] / 2, batch mean in nats: (B, C), (B, C) -> scalar.

    Called JSD in CCL (Chen et al., CVPR 2021; yanbeic/CCL), though it has no upper bound and is not
    the Jensen-Shannon divergence of Eq. 16. The released code adds 1e-10 inside the logarithm of
    p / q; here the logarithms of p and q are taken from the logits, which stays finite without.
    Gradients flow to both.
    """
    log_p = a_logits.log_softmax(dim=1)  # (B, C)
    log_q = b_logits.log_softmax(dim=1)  # (B, C)
    # Both divergences as one product: its factors have the same sign, so it is never negative.
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum() / (2 * len(log_p))


def uniform_excess(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy to the uniform distribution minus that to the labels: (B, C), (B,) -> scalar.

    A share of it beside the cross-entropy is label smoothing by that share: (1 - s) CE + s uniform
    = CE + s (uniform - CE), with the uniform distribution over all classes.

    Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016.
    """
    uniform = -logits.log_softmax(dim=1).mean()
    return uniform - cross_entropy(logits, labels)
