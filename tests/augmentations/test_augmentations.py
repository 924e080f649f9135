"""Each augmentation by what it must do to a clip whose values are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from amid.augmentations import AUGMENTATIONS, load_augmentation
from amid.augmentations.base import at_times, resampled
from amid.extractors import frame_dct

STEPS, FEATURES = 40, 6
PICTURE = {"size": [4, 4], "coefficients": 3, "differences": True}
IDLE = {
    "mixup": {"share": 0.0, "probability": 1.0},
    "cutmix": {"share": 0.0, "probability": 1.0},
    "picture_crop": {"shift": 0.0, "zoom": 0.0, "mirror": 0.0, **PICTURE},
    "crop": {"share": 0.0},
    "time_warp": {"speed": 0.0, "local": 0.0, "knots": 3},
    "frame_dropout": {"share": 0.0},
    "scaling": {"clip": 0.0, "feature": 0.0},
    "jitter": {"noise": 0.0},
    "channel_dropout": {"share": 0.0},
    "spec_augment": {"bands": 0.0, "band_masks": 2, "steps": 0.0, "step_masks": 2},
}
STRONG = {
    "mixup": {"share": 0.5, "probability": 1.0},
    "cutmix": {"share": 0.5, "probability": 1.0},
    "picture_crop": {"shift": 0.1, "zoom": 0.2, "mirror": 0.5, **PICTURE},
    "crop": {"share": 0.5},
    "time_warp": {"speed": 0.4, "local": 0.6, "knots": 3},
    "frame_dropout": {"share": 0.3},
    "scaling": {"clip": 0.2, "feature": 0.3},
    "jitter": {"noise": 0.4},
    "channel_dropout": {"share": 0.4},
    "spec_augment": {"bands": 0.5, "band_masks": 1, "steps": 0.4, "step_masks": 1},
}


def clip() -> np.ndarray:
    """Feature f at step t is 1 + t + 100 f: a value tells where it came from, and none is 0."""
    return 1.0 + np.arange(STEPS)[:, None] + 100.0 * np.arange(FEATURES)


def augmented(name: str, options: dict, seed: int, of: np.ndarray | None = None) -> np.ndarray:
    of = clip() if of is None else of
    random = np.random.Generator(np.random.PCG64(seed))
    module = load_augmentation(name)
    if hasattr(module, "mix"):
        return module.mix(of, -of, options, random)[0]
    return module.augment(of, options, random)


def mixed(name: str, share: float, seed: int, of: np.ndarray) -> tuple[np.ndarray, float]:
    """The clip mixed with one whose values are those times -1, and the partner's share."""
    random = np.random.Generator(np.random.PCG64(seed))
    options = {"share": share, "probability": 1.0}
    return load_augmentation(name).mix(of, -of, options, random)


def times(found: np.ndarray) -> np.ndarray:
    """The time each step came from; all features must agree about it."""
    assert np.allclose(found - found[:, :1], clip()[:1] - clip()[0, 0])
    return found[:, 0] - 1


def test_the_tables_here_are_of_all_augmentations() -> None:
    assert IDLE.keys() == STRONG.keys() == AUGMENTATIONS.keys()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_numbers_of_0_change_nothing(name: str) -> None:
    before = clip()
    rounding = 1e-10 if name == "picture_crop" else 1e-13  # its basis has 48 binary places
    np.testing.assert_allclose(augmented(name, IDLE[name], 0, before), clip(), rtol=rounding)
    augmented(name, STRONG[name], 0, before)
    assert (before == clip()).all()  # the clip itself is left alone


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_generator_alone_decides(name: str) -> None:
    one, same, other = (augmented(name, STRONG[name], seed) for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert one.shape != other.shape or not np.array_equal(one, other)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("steps", [1, 2])
def test_the_shortest_clips_keep_a_step(name: str, steps: int) -> None:
    for seed in range(20):
        found = augmented(name, STRONG[name], seed, clip()[:steps])
        assert len(found) >= 1
        assert found.shape[1] == FEATURES
        assert np.isfinite(found).all()
        if 2 not in load_augmentation(name).AXES or 1 in load_augmentation(name).AXES:
            assert len(found) == steps


def test_a_crop_is_a_stretch_of_the_clip_between_the_bounds() -> None:
    lengths, starts = set(), set()
    for seed in range(300):
        at = times(augmented("crop", {"share": 0.5}, seed))
        assert (np.diff(at) == 1).all()
        lengths.add(len(at))
        starts.add(at[0])
    assert (min(lengths), max(lengths)) == (20, 40)
    assert min(starts) == 0
    assert max(starts) >= 15  # of 20 possible: not always from the start


def test_a_warp_keeps_the_ends_and_the_order_and_changes_the_speed() -> None:
    lengths, slowest, fastest = [], 1.0, 1.0
    for seed in range(200):
        at = times(augmented("time_warp", {"speed": 0.25, "local": 0.5, "knots": 3}, seed))
        assert at[0] == 0
        assert at[-1] == pytest.approx(STEPS - 1)
        assert (np.diff(at) > 0).all()
        lengths.append(len(at))
        speeds = np.diff(at) * (len(at) - 1) / (STEPS - 1)
        slowest, fastest = min(slowest, speeds.min()), max(fastest, speeds.max())
    assert 30 <= min(lengths) < 33
    assert 47 < max(lengths) <= 50
    assert 0.3 < slowest < 0.6
    assert 1.4 < fastest < 2.2


def test_dropped_frames_are_as_many_as_asked_for() -> None:
    kept = [len(times(augmented("frame_dropout", {"share": 0.3}, seed))) for seed in range(200)]
    assert np.mean(kept) == pytest.approx(0.7 * STEPS, rel=0.03)


def test_factors_are_one_for_the_clip_and_one_for_each_feature() -> None:
    of_clip, of_feature = [], []
    for seed in range(400):
        ratio = augmented("scaling", {"clip": 0.2, "feature": 0.0}, seed) / clip()
        assert np.allclose(ratio, ratio[0, 0])
        of_clip.append(ratio[0, 0])
        ratio = augmented("scaling", {"clip": 0.0, "feature": 0.1}, seed) / clip()
        assert np.allclose(ratio, ratio[:1])
        of_feature.append(ratio[0])
    assert np.mean(of_clip) == pytest.approx(1, abs=0.04)
    assert np.std(of_clip) == pytest.approx(0.2, rel=0.1)
    assert np.std(of_feature, axis=0) == pytest.approx(np.full(FEATURES, 0.1), rel=0.12)


def test_noise_has_the_deviation_asked_for_in_every_value() -> None:
    drawn = [augmented("jitter", {"noise": 0.4}, seed) - clip() for seed in range(100)]
    noise = np.concatenate(drawn)
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std(axis=0) == pytest.approx(np.full(FEATURES, 0.4), rel=0.05)


def test_dropped_channels_are_0_throughout_and_as_many_as_asked_for() -> None:
    dropped = 0
    for seed in range(300):
        gone = augmented("channel_dropout", {"share": 0.4}, seed) == 0
        assert (gone == gone[:1]).all()
        dropped += gone[0].sum()
    assert dropped / (300 * FEATURES) == pytest.approx(0.4, abs=0.04)


def test_masks_are_neighbouring_bands_and_neighbouring_steps() -> None:
    widest, longest = 0, 0
    for seed in range(200):
        gone = augmented("spec_augment", STRONG["spec_augment"], seed) == 0
        bands, steps = gone.all(axis=0).nonzero()[0], gone.all(axis=1).nonzero()[0]
        for places in (bands, steps):
            assert (np.diff(places) == 1).all()
        assert gone.sum() == gone.size - (STEPS - len(steps)) * (FEATURES - len(bands))
        widest, longest = max(widest, len(bands)), max(longest, len(steps))
    assert widest == 3  # half of 6
    assert longest == 16  # 0.4 of 40


def test_mixup_is_a_weighted_mean_by_the_share_that_it_tells() -> None:
    shares = []
    for seed in range(400):
        found, share = mixed("mixup", 0.4, seed, clip())
        np.testing.assert_allclose(found, clip() * (1 - 2 * share), rtol=1e-12)
        shares.append(share)
    assert 0 <= min(shares) < 0.02
    assert 0.38 < max(shares) <= 0.4
    counts = np.histogram(shares, bins=8, range=(0, 0.4))[0]  # 50 each
    assert abs(counts - 50).max() < 4 * 50**0.5


def test_cutmix_is_the_clip_with_a_stretch_of_its_partners_same_steps() -> None:
    lengths, starts = [], set()
    for seed in range(600):
        found, share = mixed("cutmix", 0.3, seed, clip())
        theirs = (found < 0).all(axis=1)
        np.testing.assert_array_equal(found, np.where(theirs[:, None], -clip(), clip()))
        places = theirs.nonzero()[0]
        assert (np.diff(places) == 1).all()
        assert share == len(places) / STEPS
        lengths.append(len(places))
        if len(places) == 12:
            starts.add(places[0])
    counts = np.bincount(lengths)
    assert len(counts) == 13  # none to 0.3 of 40 steps
    assert abs(counts - 600 / 13).max() < 4 * (600 / 13) ** 0.5
    assert min(starts) <= 3
    assert max(starts) >= 25  # of 28 possible


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_the_partner_is_never_the_larger_part(name: str, steps: int) -> None:
    for seed in range(100):
        found, share = mixed(name, 0.5, seed, clip()[:steps])
        assert 0 <= share <= 0.5
        if name == "cutmix":
            assert (found < 0).all(axis=1).sum() <= steps / 2


def test_a_share_above_half_is_refused() -> None:
    for name in ("mixup", "cutmix"):
        options = load_augmentation(name).Options
        for wrong in ({"share": 0.51, "probability": 1.0}, {"share": 0.5, "probability": 1.01}):
            with pytest.raises(ValidationError):
                options.model_validate(wrong)


def test_a_clip_of_other_steps_is_played_within_those_asked_for() -> None:
    rows = np.array([[0.0, 10.0], [2.0, 30.0], [4.0, -10.0]])
    assert resampled(rows, 3) is rows
    assert resampled(rows, 5).tolist() == [[0, 10], [1, 20], [2, 30], [3, 10], [4, -10]]
    assert resampled(rows, 2).tolist() == [[0, 10], [4, -10]]
    assert resampled(rows, 1).tolist() == [[0, 10]]
    assert resampled(rows[:1], 3).tolist() == [[0, 10]] * 3


def test_between_two_steps_values_are_on_the_line() -> None:
    rows = np.array([[0.0, 10.0], [2.0, 30.0], [4.0, -10.0]])
    found = at_times(rows, np.array([0.0, 0.25, 1.0, 1.5, 2.0]))
    assert found.tolist() == [[0, 10], [0.5, 15], [2, 30], [3, 10], [4, -10]]
    assert at_times(rows[:1], np.zeros(3)).tolist() == [[0, 10]] * 3


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_misspelt_or_impossible_number_is_refused(name: str) -> None:
    module = load_augmentation(name)
    given = {key: value for key, value in STRONG[name].items() if key not in PICTURE}
    assert module.Options.model_validate(given).model_dump() == given
    for wrong in ({**given, "shere": 0.1}, dict.fromkeys(given, -1.0)):
        with pytest.raises(ValidationError):
            module.Options.model_validate(wrong)


class Drawn:
    """A generator whose numbers are given: three in -1 .. 1 as one draw, then one."""

    def __init__(self, up: float, left: float, near: float, last: float) -> None:
        self.moves, self.last = np.array([up, left, near]), last

    def random(self, count: int | None = None) -> np.ndarray | float:
        return self.last if count is None else (self.moves + 1) / 2


LIPS = {"size": [32, 48], "coefficients": 64, "differences": True}


def pictures() -> np.ndarray:
    """(3, 64, 96) uint8: a smooth picture, moved from frame to frame."""
    noise = np.random.Generator(np.random.PCG64(0)).random((64, 110))
    smooth = cv2.GaussianBlur(noise, (0, 0), 12)
    smooth = 255 * (smooth - smooth.min()) / np.ptp(smooth)
    return np.stack([smooth[:, n : n + 96] for n in (0, 4, 10)]).astype(np.uint8)


def described(frames: np.ndarray) -> np.ndarray:
    options = frame_dct.Options(frames=len(frames), **{**LIPS, "size": (32, 48)})
    return frame_dct.describe(frames, options).astype(np.float64)


def test_a_mirrored_picture_has_the_coefficients_of_mirrored_frames() -> None:
    before = described(pictures())
    options = {"shift": 0.3, "zoom": 0.3, "mirror": 0.5, **LIPS}
    found = load_augmentation("picture_crop").augment(before, options, Drawn(0, 0, 0, 0.49))
    np.testing.assert_allclose(found, described(pictures()[:, :, ::-1].copy()), atol=2e-5)
    kept = load_augmentation("picture_crop").augment(before, options, Drawn(0, 0, 0, 0.5))
    np.testing.assert_allclose(kept, before, atol=1e-9)


@pytest.mark.parametrize(
    ("up", "left", "near"), [(1, 0, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1), (-0.5, 0.8, 0.4)]
)
def test_a_box_has_the_coefficients_of_the_frames_it_is_cut_from(up, left, near) -> None:
    """The frames themselves are cut and scaled by OpenCV, then described: what is left of the
    difference comes from the frequencies that are not kept."""
    frames = pictures()
    _, height, width = frames.shape
    scale = 1 + 0.2 * near
    to_frame = np.array(  # place in the box -> place in the frame
        [
            [scale, 0, (1 - scale) * (width - 1) / 2 + 0.1 * left * width],
            [0, scale, (1 - scale) * (height - 1) / 2 + 0.1 * up * height],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = [
        cv2.warpAffine(f, to_frame, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for f in frames
    ]
    before, wanted = described(frames), described(np.stack(cut))
    options = {"shift": 0.1, "zoom": 0.2, "mirror": 0.0, **LIPS}
    found = load_augmentation("picture_crop").augment(before, options, Drawn(up, left, near, 0.0))
    moved = np.linalg.norm(wanted - before)
    assert np.linalg.norm(found - wanted) < 0.1 * moved


def test_differences_of_a_box_are_those_of_its_coefficients() -> None:
    options = {"shift": 0.2, "zoom": 0.2, "mirror": 0.5, **LIPS}
    found = augmented("picture_crop", options, 5, described(pictures()))
    values, differences = found[:, :64], found[:, 64:]
    np.testing.assert_allclose(differences[1:], np.diff(values, axis=0), atol=1e-6)
    np.testing.assert_allclose(differences[0], 0, atol=1e-9)
    without = {**options, "differences": False}
    alone = augmented("picture_crop", without, 5, described(pictures())[:, :64])
    np.testing.assert_allclose(alone, values, atol=1e-12)
