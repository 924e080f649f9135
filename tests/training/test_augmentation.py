"""What a batch is after augmentation: its draws, its padding, and what a teacher sees of it."""

from __future__ import annotations

import numpy as np
import torch

from amid.core.types import Batch
from amid.training.augmentation import Augmenter

CHOSEN = {
    "jitter": {"noise": 0.3},
    "crop": {"share": 0.5},
    "time_warp": {"speed": 0.2, "local": 0.2, "knots": 2},
}


def batch(target: torch.Tensor) -> Batch:
    rows = torch.arange(len(target))
    return Batch(target, {}, rows, rows)


def sequences(steps: list[int] | None = None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    target = 5 * torch.randn(6, 12, 3, generator=generator) + 2
    for row, length in zip(target, steps or [], strict=False):
        row[length:] = torch.nan
    return target


def test_a_draw_depends_on_seed_epoch_and_clip_and_on_nothing_else() -> None:
    target = sequences()
    one = Augmenter(CHOSEN, batch(target), seed=1)
    whole = one(batch(target), 4).target
    part = one(batch(target).take(torch.tensor([5, 2])), 4).target
    assert torch.equal(part, whole[[5, 2]])
    assert torch.equal(Augmenter(CHOSEN, batch(target), seed=1)(batch(target), 4).target, whole)
    for other in (
        one(batch(target), 5),
        Augmenter(CHOSEN, batch(target), seed=2)(batch(target), 4),
    ):
        assert not (other.target == whole).flatten(1).all(dim=1).any()


def test_the_order_is_that_of_the_plug_ins_not_that_of_params() -> None:
    target = sequences()
    other_way = dict(reversed(CHOSEN.items()))
    one, other = (
        Augmenter(chosen, batch(target), 0)(batch(target), 0) for chosen in (CHOSEN, other_way)
    )
    assert torch.equal(one.target, other.target)


def test_equally_long_sequences_stay_so_and_others_end_in_padding() -> None:
    target = sequences()
    assert Augmenter(CHOSEN, batch(target), 0)(batch(target), 0).target.shape == target.shape
    lengths = [12, 7, 1, 4, 9, 12]
    target = sequences(lengths)
    found = Augmenter({"crop": {"share": 0.5}}, batch(target), 0)(batch(target), 0).target
    real = ~found.isnan()
    assert (real == real[:, :, :1]).all()
    counts = real[:, :, 0].sum(1)
    assert all(-(-n // 2) <= kept <= n for n, kept in zip(lengths, counts.tolist(), strict=True))
    assert found.shape[1] == counts.max()
    for row, kept, before in zip(found, counts, target, strict=True):  # a stretch of the clip
        places = [n for n in range(12) if torch.allclose(before[n], row[0])]
        assert torch.allclose(before[places[0] : places[0] + kept], row[:kept])


def test_noise_is_in_units_of_each_features_deviation_and_constants_stay() -> None:
    target = torch.randn(400, 3, generator=torch.Generator().manual_seed(3))
    target = target * torch.tensor([1.0, 100.0, 0.0]) + torch.tensor([0.0, 7.0, 3.0])
    found = Augmenter({"jitter": {"noise": 0.5}}, batch(target), 0)(batch(target), 0).target
    assert found.shape == target.shape
    noise = (found - target).numpy()
    ratio = noise[:, :2].std(axis=0) / target[:, :2].numpy().std(axis=0)
    np.testing.assert_allclose(ratio, 0.5, rtol=0.1)
    assert (found[:, 2] == 3).all()


def test_a_fixed_teacher_sees_the_draw_that_the_student_sees() -> None:
    class Teacher(torch.nn.Linear):
        def forward(self, given: Batch) -> Batch:
            assert given.teacher is None  # its former outputs would be handed through
            self.seen = given.target
            return Batch(
                given.target, {}, given.labels, given.samples, given.target + 1, given.target + 2
            )

    target, teacher = sequences(), Teacher(1, 1)
    given = batch(target)
    given = Batch(target, {}, given.labels, given.samples, target, target)
    found = Augmenter(CHOSEN, given, 0, teacher)(given, 0)
    assert torch.equal(teacher.seen, found.target)
    assert torch.equal(found.teacher, found.target + 1)
    assert torch.equal(found.teacher_logits, found.target + 2)
    assert not torch.equal(found.target, target)


def test_the_streams_of_clips_are_uniform_and_unrelated() -> None:
    one = Augmenter({}, batch(sequences()), seed=0)

    def first(epoch: int, name: str) -> np.ndarray:
        drawn = []
        for sample in range(4000):
            drawn.append(one._stream(epoch, sample, name).random(3))
        return np.array(drawn)

    values = [first(0, "crop"), first(1, "crop"), first(0, "jitter")]
    for drawn in values:
        counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
        assert abs(counts - 600).max() < 5 * 600**0.5
        for a, b in ((drawn[:-1, 0], drawn[1:, 0]), (drawn[:, 0], drawn[:, 1])):
            assert abs(np.corrcoef(a, b)[0, 1]) < 0.08
    for other in values[1:]:
        assert abs(np.corrcoef(values[0][:, 0], other[:, 0])[0, 1]) < 0.08


def test_an_augmentation_of_one_extractors_features_sees_them_in_their_own_units() -> None:
    """A mirrored picture has odd frequencies with the other sign, whatever the mean is."""
    target = 5 * torch.randn(6, 12, 6, generator=torch.Generator().manual_seed(0)) + 20
    target[:, :, 5] = 0.25  # a constant stays what it is
    numbers = {"shift": 0.0, "zoom": 0.0, "size": [4, 4], "coefficients": 6, "differences": False}
    for share, signs in ((0.0, [1, 1, 1, 1, 1, 1]), (1.0, [1, -1, 1, 1, -1, 1])):
        chosen = {"picture_crop": {**numbers, "mirror": share}}
        found = Augmenter(chosen, batch(target), 0)(batch(target), 0).target
        torch.testing.assert_close(found, target * torch.tensor(signs), rtol=1e-5, atol=1e-5)
