import cv2
import numpy as np
import pytest
import scipy.fft
from pydantic import ValidationError

from amid.core.dct import lowest_frequencies
from amid.extractors import Span
from amid.extractors.frame_dct import Options, describe, extract, shape
from amid.media import MediaError, Reason
from tests.media.clips import NAN, cut, write_video

RNG = np.random.default_rng(0)


def clip(frames: int = 5, rows: int = 16, columns: int = 16) -> np.ndarray:
    return RNG.integers(0, 256, (frames, rows, columns), np.uint8)


@pytest.mark.parametrize("size", [(16, 16), (12, 20)])
def test_coefficients_are_those_of_the_orthonormal_transform(size):
    frames = clip(5, *size)
    options = Options(frames=5, size=size, coefficients=30)
    got = describe(frames, options)
    assert got.shape == shape(options) == (5, 60)
    assert got.dtype == np.float32
    order = lowest_frequencies(*size, 30)
    for number, frame in enumerate(frames):
        want = scipy.fft.dctn(frame / 255, norm="ortho").ravel()[order]
        np.testing.assert_allclose(got[number, :30], want, atol=1e-6)


def test_all_coefficients_keep_the_energy():
    frames = clip()
    options = Options(frames=5, size=[16, 16], coefficients=256, differences=False)
    energy = np.square(describe(frames, options)).sum(axis=1)
    np.testing.assert_allclose(energy, np.square(frames / 255).sum(axis=(1, 2)), rtol=1e-5)


def test_differences_are_steps_in_time():
    options = Options(frames=5, size=[16, 16], coefficients=10)
    got = describe(clip(), options)
    assert not got[0, 10:].any()
    for number in range(1, 5):
        np.testing.assert_array_equal(got[number, 10:], got[number, :10] - got[number - 1, :10])
    plain = describe(np.repeat(clip(1), 5, 0), options)
    assert not plain[:, 10:].any()


def test_frequencies_come_along_the_diagonals():
    square = [divmod(int(place), 8) for place in lowest_frequencies(8, 8, 10)]
    assert square == [
        (0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0), (0, 3), (1, 2), (2, 1), (3, 0),
    ]  # fmt: skip
    # Twice as wide: two columns are as much of a frequency as one row.
    wide = {divmod(int(place), 16) for place in lowest_frequencies(8, 16, 4)}
    assert wide == {(0, 0), (0, 1), (0, 2), (1, 0)}
    assert len(set(lowest_frequencies(8, 16, 128).tolist())) == 128


def test_scaling_keeps_a_smooth_picture():
    rows, columns = np.mgrid[:48, :64]
    smooth = (100 + rows + columns).astype(np.uint8)[None]
    one = describe(smooth, Options(frames=1, size=[24, 32], coefficients=6, differences=False))
    two = describe(smooth, Options(frames=1, size=[48, 64], coefficients=6, differences=False))
    np.testing.assert_allclose(2 * one, two, rtol=0.02, atol=0.05)  # twice as many pixels a side


def test_extract_reads_the_box(tmp_path):
    path = write_video(tmp_path / "clip.avi")
    options = Options(frames=3, box=[0.1, 0.8, 0.2, 0.7], size=[32, 32], coefficients=4)
    spans = [Span("a", NAN, NAN), Span("b", 0.0, 0.4), Span("c", 1.0, 9.0)]
    whole, part, outside = extract(path, spans, options)
    # Frame k is grey of level 8 k; the constant coefficient is mean * 32.
    np.testing.assert_allclose(whole[:, 0], np.array([5, 15, 25]) * 8 / 255 * 32, rtol=1e-5)
    np.testing.assert_allclose(part[:, 0], np.array([1, 5, 8]) * 8 / 255 * 32, rtol=1e-5)
    assert np.abs(whole[:, 1:4]).max() < 1e-5
    assert isinstance(outside, MediaError)
    assert outside.reason is Reason.span_outside
    alone = extract(path, spans[1:2], options)[0]
    np.testing.assert_array_equal(alone, part)
    with pytest.raises(MediaError) as caught:
        extract(cut(path, 0.9), spans, options)
    assert caught.value.reason is Reason.truncated


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"box": [0.9, 0.1, 0.0, 0.5]}, "top < bottom"),
        ({"box": [8, 40, 16, 48]}, "shares of the picture"),
        ({"size": [31, 32]}, "even numbers"),
        ({"size": [4, 4], "coefficients": 17}, "must not exceed the 16"),
        ({"frames": 0}, "greater than or equal to 1"),
        ({"colour": True}, "not permitted"),
    ],
)
def test_impossible_options_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        Options(**values)


def test_a_spans_box_is_the_picture_that_the_options_box_is_a_part_of(tmp_path):
    path = tmp_path / "halves.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 32))
    generator = np.random.default_rng(0)
    for _ in range(10):
        picture = np.zeros((32, 64, 3), np.uint8)
        picture[:, :32] = generator.integers(0, 100)
        picture[:, 32:] = generator.integers(150, 255)
        writer.write(picture)
    writer.release()
    left, right = (0.0, 1.0, 0.0, 0.5), (0.0, 1.0, 0.5, 1.0)
    spans = [
        Span("whole", NAN, NAN),
        Span("right", NAN, NAN, right),
        Span("left", NAN, NAN, left),
        Span("part", 0.0, 0.2, right),
    ]
    options = Options(frames=4, coefficients=4, differences=False)
    values = extract(path, spans, options)
    for span, value in zip(spans, values, strict=True):  # as if it were alone
        assert np.array_equal(value, extract(path, [span], options)[0])
    assert values[1][:, 0].min() > values[2][:, 0].max()  # brighter
    boxed = options.model_copy(update={"box": (0.25, 0.75, 0.0, 0.5)})
    whole = options.model_copy(update={"box": (0.25, 0.75, 0.5, 0.75)})
    assert np.array_equal(extract(path, [spans[1]], boxed)[0], extract(path, [spans[0]], whole)[0])
