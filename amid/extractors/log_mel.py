"""Log-mel spectrogram of a span in a fixed number of time steps, with noise at a chosen level.

params.yaml is checked against this module's Options: SciPy and the decoders are imported only where
they are used.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from amid.extractors import Span
from amid.media import MediaError, Sound

if TYPE_CHECKING:
    from scipy.sparse import csr_array

BLOCK = 100  # frames at once: what they need stays in the processor's cache
FLOOR = 1e-6  # power added before the logarithm: silence is ln 1e-6 = -13.8


class Options(BaseModel):
    """Frequencies in Hz. `snr_db` is the level of white noise added to each span, None = none."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rate: int = Field(16000, ge=1000, le=192000)
    window_ms: float = Field(25.0, gt=0.0, le=1000.0)
    hop_ms: float = Field(10.0, gt=0.0, le=1000.0)
    bands: int = Field(40, ge=1, le=512)
    steps: int = Field(32, ge=1, le=10000)
    low: float = Field(20.0, ge=0.0)
    high: float | None = None  # None = half the rate
    snr_db: float | None = Field(None, ge=-100.0, le=100.0)
    seed: int = Field(0, ge=0)  # of the noise

    @property
    def window(self) -> int:
        """Samples in a window."""
        return round(self.rate * self.window_ms / 1000)

    @property
    def hop(self) -> int:
        """Samples from a window to the next."""
        return round(self.rate * self.hop_ms / 1000)

    @property
    def points(self) -> int:
        """Length of the Fourier transform: the next power of two."""
        return 1 << (self.window - 1).bit_length()

    @model_validator(mode="after")
    def _sizes_fit(self) -> Options:
        top = self.rate / 2 if self.high is None else self.high
        if not self.low < top <= self.rate / 2:
            raise ValueError(f"low {self.low:g} < high {top:g} <= rate / 2 must hold")
        if self.window < 2 or self.hop < 1:
            raise ValueError(
                f"window_ms {self.window_ms:g} and hop_ms {self.hop_ms:g} must be at least "
                f"two samples and one"
            )
        empty = int((~mel_filters(self).any(axis=1)).sum())
        if empty:
            raise ValueError(
                f"bands {self.bands} are too many: {empty} of them lie between the frequencies of "
                f"a {self.window_ms:g} ms window"
            )
        return self


def shape(options: Options) -> tuple[int, int]:
    """(steps, bands)."""
    return options.steps, options.bands


def extract(path: Path, spans: list[Span], options: Options) -> list[np.ndarray | MediaError]:
    """(steps, bands) float32 a span; a span without any sound is an error. Raises MediaError."""
    from amid.media.film import read_one

    return describe_clips(read_one(path, request(spans, options)), spans, options)


def request(spans: list[Span], options: Options) -> Sound:
    """Sound at the rate of the options."""
    return Sound([(span.start, span.end) for span in spans], options.rate)


def describe_clips(
    clips: list[np.ndarray | MediaError], spans: list[Span], options: Options
) -> list[np.ndarray | MediaError]:
    """`describe` of each piece of sound, with its noise."""
    result: list[np.ndarray | MediaError] = []
    for span, piece in zip(spans, clips, strict=True):
        if isinstance(piece, MediaError):
            result.append(piece)
            continue
        if options.snr_db is not None:
            piece = add_noise(piece, options.snr_db, options.seed, span.id)
        result.append(describe(piece, options))
    return result


def add_noise(signal: np.ndarray, snr_db: float, seed: int, name: str) -> np.ndarray:
    """Add white noise, 10 log10(power of signal / power of noise) = snr_db, to (samples,) float32.

    The noise depends on `seed` and the clip's `name` alone, not on order or process.
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    noise = np.random.default_rng(int.from_bytes(digest, "big")).standard_normal(
        len(signal), dtype=np.float32
    )
    power = np.square(signal, dtype=np.float64).mean()
    drawn = np.square(noise, dtype=np.float64).mean()
    scale = math.sqrt(power / drawn / 10.0 ** (snr_db / 10.0))
    return signal + noise * np.float32(scale)


def describe(signal: np.ndarray, options: Options) -> np.ndarray:
    """(samples,) float32 -> (steps, bands) float32, ln(power + FLOOR) in bands of the mel scale.

    Power is relative to a full-scale sine's peak in the spectrum. Spans shorter than a window are
    padded with zeros.
    """
    import scipy.fft

    window, hop = options.window, options.hop
    if len(signal) < window:
        signal = np.pad(signal, (0, window - len(signal)))
    # (time, window): a view, as of sliding_window_view, which takes as long as ten transforms
    signal = np.ascontiguousarray(signal)
    size, time = signal.itemsize, 1 + (len(signal) - window) // hop
    pieces = np.ndarray((time, window), signal.dtype, signal, strides=(size * hop, size))
    shape, filters = hann(window), sparse_filters(options)
    frames = np.zeros((min(BLOCK, len(pieces)), options.points), np.float32)
    logarithms = np.empty((len(pieces), options.bands))  # (time, bands) float64
    for start in range(0, len(pieces), BLOCK):
        block = pieces[start : start + BLOCK]
        np.multiply(block, shape, out=frames[: len(block), :window])
        spectrum = scipy.fft.rfft(frames[: len(block)])  # (block, bins) complex64
        power = np.square(spectrum.real)
        power += np.square(spectrum.imag)
        # A sparse product uses no threads, so its bits are the same in any process.
        mel = (filters @ power.T).T  # (block, bands)
        # In float64, so that another CPU's logarithm, off by its last bit, rounds to the same
        # float32.
        np.log(mel + FLOOR, out=logarithms[start : start + BLOCK], dtype=np.float64)
    return pool(logarithms, options.steps)


def pool(values: np.ndarray, steps: int) -> np.ndarray:
    """(time, bands) -> (steps, bands) float32: means over `steps` equal parts of the time.

    Frames at a part's border count for the share of them that lies inside, so it works for fewer
    frames than steps as well, and the mean over time stays what it was.
    """
    time = len(values)
    total = np.zeros((time + 1, values.shape[1]))  # integral over time, float64
    np.cumsum(values, axis=0, dtype=np.float64, out=total[1:])
    borders = np.arange(steps + 1) * (time / steps)  # (steps + 1,)
    whole = np.minimum(borders.astype(np.int64), time - 1)
    share = (borders - whole)[:, None]
    at = total[whole] * (1.0 - share) + total[whole + 1] * share  # (steps + 1, bands)
    return ((at[1:] - at[:-1]) * (steps / time)).astype(np.float32)


@lru_cache
def hann(window: int) -> np.ndarray:
    """(window,) float32, scaled so that a sine of amplitude 1 peaks at 1 in the spectrum."""
    weights = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(window) / window)
    return (weights * (2.0 / weights.sum())).astype(np.float32)


@lru_cache
def sparse_filters(options: Options) -> csr_array:
    """`mel_filters` without their zeros."""
    from scipy.sparse import csr_array

    return csr_array(mel_filters(options))


def mel_filters(options: Options) -> np.ndarray:
    """(bands, bins) float32: triangles of peak 1 whose corners are equally far apart in mel.

    mel(f) = 2595 log10(1 + f / 700).
    """
    top = options.rate / 2 if options.high is None else options.high
    corners = np.linspace(mel(options.low), mel(top), options.bands + 2)  # (bands + 2,)
    corners = 700.0 * (10.0 ** (corners / 2595.0) - 1.0)
    bins = np.arange(options.points // 2 + 1) * (options.rate / options.points)
    left, middle, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = (bins - left) / (middle - left)  # (bands, bins)
    falling = (right - bins) / (right - middle)
    return np.maximum(np.minimum(rising, falling), 0.0).astype(np.float32)


def mel(frequency: float) -> float:
    """Mel of Hz."""
    return 2595.0 * math.log10(1.0 + frequency / 700.0)
