"""D1 ("fundamental") and D2 ("enhanced"): does a direction come from the teacher or the student?"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from amid.losses.cosine import unit_rows

FUNDAMENTAL_LAYERS = 5  # D1, from the paper
ENHANCED_LAYERS = 3  # D2, from the paper


class Discriminator(nn.Module):
    """MLP with `layers` linear layers: (B, D) -> logits (B,).

    It sees sqrt(D) z / ||z||, the direction only (our choice): Eq. 7 constrains directions alone,
    and a discriminator that sees lengths wins on them.
    """

    def __init__(self, dim: int, hidden: int, layers: int, slope: float) -> None:
        super().__init__()
        widths = [dim] + [hidden] * (layers - 1)
        body: list[nn.Module] = []
        for before, after in pairwise(widths):
            body += [nn.Linear(before, after), nn.LeakyReLU(slope)]
        self.body = nn.Sequential(*body, nn.Linear(widths[-1], 1))

    def forward(self, z: Tensor) -> Tensor:
        return self.body(unit_rows(z) * z.shape[-1] ** 0.5).squeeze(-1)  # (B,)
