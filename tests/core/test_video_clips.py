"""Videos of a cache: windows, one draw a clip, the mean of what windows say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from amid.core.video_clips import Clips, per_clip

LENGTHS = [3, 8, 11]


def videos(height: int = 12, width: int = 16) -> list[np.ndarray]:
    """Frame n of clip k is 10 k + n everywhere in its first channel; columns in the second."""
    found = []
    for k, length in enumerate(LENGTHS):
        video = np.zeros((length, height, width, 3), np.uint8)
        video[..., 0] = (10 * (k + 1) + np.arange(length))[:, None, None]
        video[..., 1] = np.arange(width)
        found.append(video)
    return found


def draws(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, np.float64)


def test_nothing_is_lost_in_one_array() -> None:
    clips = Clips.of(videos())
    assert len(clips) == 3
    assert clips.shape == (3, 11, 12, 16, 3)
    chosen = clips.index_select(0, torch.tensor([2, 0]))
    assert chosen.lengths.tolist() == [11, 3]
    assert chosen.pictures(2, 8)[:, 0, 0, 0, 0].tolist() == [30, 10]


def test_windows_cover_a_clip_but_for_a_short_rest() -> None:
    windows, owner = Clips.of(videos()).windows(4)
    assert owner.tolist() == [0, 1, 1, 2, 2]
    assert windows.pictures(4, 8)[..., 0, 0, 0].tolist() == [
        [10, 11, 12, 12],  # too short: the last frame again
        [20, 21, 22, 23],
        [24, 25, 26, 27],
        [30, 31, 32, 33],
        [34, 35, 36, 37],
    ]


def test_an_evaluation_sees_the_middle() -> None:
    picture = Clips.of(videos()).pictures(1, 8)[0, 0]
    assert picture[0, :, 1].tolist() == list(range(4, 12))


def test_draws_decide_on_window_part_and_side() -> None:
    whole = [0.0, 1.0, 0.5, 0.0, 0.0]
    first, last = [*whole, 0.9], [1 - 1e-9, *whole[1:], 0.1]
    clips = Clips.of(videos(16, 16))
    of_first, of_last = (
        Clips(clips.frames, clips.starts, clips.lengths, draws([d] * 3)).pictures(4, 16)
        for d in (first, last)
    )
    assert of_first[:, 0, 0, 0, 0].tolist() == [10, 20, 30]
    assert of_last[:, 0, 0, 0, 0].tolist() == [10, 24, 37]
    assert of_first[0, 0, 0, :, 1].tolist() == list(range(16))
    assert of_last[0, 0, 0, :, 1].tolist() == list(range(15, -1, -1))


def test_one_draw_a_clip_and_the_same_for_the_same_seed() -> None:
    clips = Clips.of([np.tile(v[:1], (len(v), 1, 1, 1)) for v in videos()])
    one, other = (clips.drawn(torch.Generator().manual_seed(3)).pictures(4, 8) for _ in range(2))
    assert torch.equal(one, other)
    assert (one == one[:, :1]).all()  # of a still film all frames are cut alike
    assert not torch.equal(one, clips.drawn(torch.Generator().manual_seed(4)).pictures(4, 8))


def test_draws_follow_a_clip_into_any_batch() -> None:
    clips = Clips.of(videos()).drawn(torch.Generator().manual_seed(0))
    together = clips.pictures(4, 8)
    alone = clips.index_select(0, torch.tensor([2])).pictures(4, 8)
    assert torch.equal(alone[0], together[2])


def test_crops_are_within_the_picture_and_of_the_areas_asked_for() -> None:
    from amid.core.video_clips import _crop

    rng = np.random.default_rng(0)
    shares = []
    for numbers in rng.random((2000, 4)):
        top, left, rows, columns = _crop(128, 171, *numbers)
        assert 0 <= top <= top + rows <= 128
        assert 0 <= left <= left + columns <= 171
        shares.append(rows * columns / (128 * 171))
    assert min(shares) >= 0.24
    assert max(shares) > 0.95
    assert np.mean(shares) == pytest.approx(0.625, abs=0.03)  # of 0.25 to 1; a few do not fit


def test_one_answer_a_clip_is_the_mean_of_its_windows() -> None:
    logits = torch.tensor([[0.0, 2.0], [5.0, 1.0], [1.0, 1.0]])
    rows = torch.tensor([[1.0], [3.0], [7.0]])
    owner = torch.tensor([0, 0, 1])
    found = per_clip({"student": rows, "student_logits": logits}, owner)
    assert found["student"].tolist() == [[2.0], [7.0]]
    expected = logits.softmax(1)[:2].mean(0)
    torch.testing.assert_close(found["student_logits"].softmax(1)[0], expected)


def test_certain_windows_stay_finite() -> None:
    found = per_clip({"x_logits": torch.tensor([[1e4, -1e4]])}, torch.tensor([0]))
    assert found["x_logits"].isfinite().all()
    assert found["x_logits"].argmax() == 0
