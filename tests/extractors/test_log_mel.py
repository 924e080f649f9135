import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from amid.extractors import Span
from amid.extractors.log_mel import (
    FLOOR,
    Options,
    add_noise,
    describe,
    extract,
    mel_filters,
    pool,
    shape,
)
from amid.media import MediaError, Reason
from tests.media.clips import NAN, tone, write_sound


@pytest.mark.parametrize("hertz", [150.0, 440.0, 1000.0, 3000.0, 7000.0])
def test_a_tone_peaks_in_its_band(hertz):
    options = Options()
    got = describe(tone(1.0, hertz=hertz), options)
    assert got.shape == shape(options) == (32, 40)
    assert got.dtype == np.float32
    # Centre of band k, in Hz: k + 1 of 41 equal steps in mel from 20 Hz to 8 kHz.
    low, high = (2595 * math.log10(1 + f / 700) for f in (20, 8000))
    centres = [700 * (10 ** ((low + (high - low) * (k + 1) / 41) / 2595) - 1) for k in range(40)]
    nearest = int(np.argmin(np.abs(np.array(centres) - hertz)))
    assert (np.abs(got.argmax(axis=1) - nearest) <= 1).all()
    assert got.max() < 0.0  # amplitude 0.5 of a scale on which 1 peaks at ln 1


def test_loudness_is_a_shift():
    options = Options(steps=8)
    loud = describe(tone(0.5), options)
    quiet = describe(tone(0.5) / 10, options)
    strong = loud > math.log(FLOOR) + 10
    assert strong.any()
    np.testing.assert_allclose((loud - quiet)[strong], math.log(100), atol=0.02)


def test_values_by_explicit_loops():
    options = Options(rate=8000, bands=6, steps=3, window_ms=16.0, hop_ms=8.0, low=100.0)
    signal = tone(0.05, 8000, 700.0) + tone(0.05, 8000, 1900.0)
    window, hop = 128, 64
    weights = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    weights *= 2 / weights.sum()
    frames = []
    for start in range(0, len(signal) - window + 1, hop):
        bins = np.arange(65)[:, None] * np.arange(window)
        wave = np.exp(-2j * np.pi * bins / window)
        power = np.abs(wave @ (signal[start : start + window] * weights)) ** 2
        frames.append(np.log(mel_filters(options) @ power + FLOOR))
    assert len(frames) == 5
    want = [  # five frames over three steps: 1.67 frames a step
        (frames[0] + 2 / 3 * frames[1]) / (5 / 3),
        (1 / 3 * frames[1] + frames[2] + 1 / 3 * frames[3]) / (5 / 3),
        (2 / 3 * frames[3] + frames[4]) / (5 / 3),
    ]
    np.testing.assert_allclose(describe(signal, options), want, rtol=1e-4, atol=1e-3)


def test_filters_by_explicit_loops():
    options = Options(bands=10, low=50.0, high=4000.0)
    got = mel_filters(options)
    assert got.shape == (10, 257)
    low, high = (2595 * math.log10(1 + f / 700) for f in (50, 4000))
    corners = [700 * (10 ** ((low + (high - low) * k / 11) / 2595) - 1) for k in range(12)]
    for band in range(10):
        left, middle, right = corners[band : band + 3]
        for number in range(257):
            f = number * 16000 / 512
            want = 0.0
            if left < f <= middle:
                want = (f - left) / (middle - left)
            elif middle < f < right:
                want = (right - f) / (right - middle)
            assert got[band, number] == pytest.approx(want, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(time=st.integers(1, 60), steps=st.integers(1, 60))
def test_pooling_keeps_the_mean(time, steps):
    values = np.random.default_rng(time).normal(size=(time, 3))
    got = pool(values, steps)
    assert got.shape == (steps, 3)
    np.testing.assert_allclose(got.mean(axis=0), values.mean(axis=0), atol=1e-5)
    assert (got.max(axis=0) <= values.max(axis=0) + 1e-5).all()
    if time == steps:
        np.testing.assert_allclose(got, values, atol=1e-5)


@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0])
def test_noise_has_the_power_that_was_asked_for(snr):
    signal = tone(0.3)
    noise = add_noise(signal, snr, 0, "clip").astype(float) - signal
    assert 10 * math.log10(np.square(signal).mean() / np.square(noise).mean()) == pytest.approx(
        snr, abs=1e-3
    )
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    halves = np.array_split(spectrum[1:], 4)
    assert max(h.mean() for h in halves) / min(h.mean() for h in halves) < 1.25  # white


def test_noise_depends_on_seed_and_clip_alone(tmp_path):
    path = write_sound(tmp_path / "a.wav", tone(1.0))
    options = Options(snr_db=0.0, seed=3)
    spans = [Span("a", 0.0, 0.4), Span("b", 0.4, 0.8), Span("c", NAN, NAN)]
    together = extract(path, spans, options)
    backwards = extract(path, spans[::-1], options)[::-1]
    for span, one, two in zip(spans, together, backwards, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, extract(path, [span], options)[0])
    for other in (Options(snr_db=0.0, seed=4), Options(snr_db=None), Options(snr_db=1.0, seed=3)):
        assert not np.array_equal(extract(path, spans[:1], other)[0], together[0])
    same_place = extract(path, [Span("z", 0.0, 0.4)], options)[0]
    assert not np.array_equal(same_place, together[0])


def test_spans_cut_the_sound(tmp_path):
    signal = np.concatenate([tone(0.5, hertz=300.0), np.zeros(8000, np.float32), tone(0.5)])
    path = write_sound(tmp_path / "a.wav", signal, subtype="FLOAT")
    options = Options(steps=4)
    first, silent, short, outside, late = extract(
        path,
        [
            Span("a", 0.0, 0.5),
            Span("b", 0.5, 1.0),
            Span("c", 1.0, 1.005),
            Span("d", 1.0, 1.8),
            Span("e", 1.0, 1.54),
        ],
        options,
    )
    np.testing.assert_array_equal(first, describe(signal[:8000], options))
    assert isinstance(silent, MediaError)
    assert silent.reason is Reason.silent
    assert "0.500 to 1.000" in silent.detail
    assert short.shape == (4, 40)
    assert isinstance(outside, MediaError)
    assert outside.reason is Reason.span_outside
    assert late.shape == (4, 40)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"low": 5000.0, "high": 4000.0}, "low 5000 < high 4000"),
        ({"high": 9000.0}, "rate / 2"),
        ({"bands": 200}, "too many"),
        ({"hop_ms": 0.0}, "greater than 0"),
        ({"snr": 3}, "not permitted"),
    ],
)
def test_impossible_options_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        Options(**values)
