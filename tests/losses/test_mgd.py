"""MFH's channels: the closed form against every permutation, and what is replaced."""

from __future__ import annotations

from itertools import permutations

import torch

from amid.losses.mgd import channel_salience, frozen
from tests.losses import distillation_by_loops as loops
from tests.losses.batches import random_batch


def linear(seed: int, size: int = 4) -> tuple[torch.Tensor, ...]:
    """Student's logits (B, 3), F (B, 4), weight (3, 4), bias (3,)."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (size, 3), (size, 4), (3, 4), (3,)
    return tuple(torch.randn(*s, generator=generator, dtype=torch.float64) for s in shapes)


def test_salience_is_the_mean_over_all_permutations():
    student, teacher, weight, bias = linear(1)
    want = []
    for channel in range(4):
        found = []
        for order in permutations(range(4)):
            mixed = teacher.clone()
            mixed[:, channel] = teacher[list(order), channel]
            found.append((mixed @ weight.T + bias - student).square().mean())
        want.append(torch.stack(found).mean())
    got = channel_salience(student, teacher, weight, bias)
    torch.testing.assert_close(got, torch.stack(want))
    rows = loops.channel_salience(*(x.tolist() for x in (student, teacher, weight, bias)))
    torch.testing.assert_close(got, torch.tensor(rows, dtype=torch.float64))


def test_the_channels_by_which_both_agree_are_the_salient_ones():
    _, teacher, _, bias = linear(2, 50)
    weight = torch.eye(3, 4, dtype=torch.float64)
    student = teacher @ weight.T + bias
    student[:, 2] = 0.0  # the student knows nothing of channel 2
    found = channel_salience(student, teacher, weight, bias)
    alone = (teacher[:, 2] + bias[2]).square().mean() / 3
    torch.testing.assert_close(found[2:], alone.expand(2))
    assert found[:2].min() > 1.5 * found[2]
    assert channel_salience(student[:1], teacher[:1], weight, bias).unique().numel() == 1


def test_the_least_salient_become_their_mean():
    rows = random_batch(3)[0].detach()
    salience = torch.tensor([0.3, -1.0, 5.0, 0.3], dtype=torch.float64)
    got = frozen(rows, salience, 0.5)
    torch.testing.assert_close(got[:, [2, 3]], rows[:, [2, 3]])
    torch.testing.assert_close(got[:, [0, 1]], rows[:, [0, 1]].mean(0).expand(7, 2))
    assert torch.equal(frozen(rows, salience, 0.0), rows)
    assert torch.equal(frozen(rows, salience, 0.24), rows)
    assert (frozen(rows, salience, 1.0).std(dim=0) < 1e-15).all()
