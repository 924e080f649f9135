"""Embedding of a span's sound by CNN14 of PANNs, trained on AudioSet and frozen.

params.yaml is checked against this module's Options: torch, SciPy and the decoders are imported
only where they are used.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from amid.extractors import Span
from amid.media import MediaError, Sound

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from amid.networks.cnn14 import Cnn14

# The front end of the published networks: Hz, samples, Hz.
RATE = 32000
WINDOW = 1024
HOP = 320
BANDS = 64
LOW, HIGH = 50.0, 14000.0
FLOOR = 1e-10  # power; silence is -100 dB
SHORTEST = 31 * HOP  # samples, 0.31 s: 32 time steps, the fewest that the network can halve
BLOCK = 256  # frames at once

ADDRESS = "https://zenodo.org/records/3987831/files"


class Published(NamedTuple):
    """A file of the Zenodo record; None where no sum was published to compare with."""

    name: str
    size: int | None  # bytes
    sha256: str | None


PUBLISHED = {
    512: Published("Cnn14_emb512_mAP=0.420.pth", None, None),
    2048: Published(
        "Cnn14_mAP=0.431.pth",
        327428481,
        "0dc499e40e9761ef5ea061ffc77697697f277f6a960894903df3ada000e34b31",
    ),
}


class Options(BaseModel):
    """embedding: length of the vector, which says which of the published networks it is.
    weights: a .pth or .safetensors, from the project's folder on; None = the published file,
    downloaded when first needed. sha256: the weights' sum, to be demanded; None = as published,
    where that is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    embedding: Literal[512, 2048] = 512
    weights: str | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None


def shape(options: Options) -> tuple[int]:
    """(embedding,)."""
    return (options.embedding,)


def extract(path: Path, spans: list[Span], options: Options) -> list[np.ndarray | MediaError]:
    """(embedding,) float32 a span; a span without any sound is an error.

    Spans go through the network one by one, so that none changes another's last bits.
    Raises MediaError, and AmidError for weights that are not there or not CNN14's.
    """
    from amid.media.film import read_one

    return describe_clips(read_one(path, request(spans, options)), spans, options)


def request(spans: list[Span], options: Options) -> Sound:
    """Sound at the network's rate. Raises AmidError as `extract` does, before anything is read."""
    frozen(options.embedding, options.weights, options.sha256)
    return Sound([(span.start, span.end) for span in spans], RATE)


def describe_clips(
    clips: list[np.ndarray | MediaError], spans: list[Span], options: Options
) -> list[np.ndarray | MediaError]:
    """`embed` of each piece of sound. Raises AmidError as `extract` does."""
    network = frozen(options.embedding, options.weights, options.sha256)
    return [clip if isinstance(clip, MediaError) else embed(network, clip) for clip in clips]


def embed(network: Cnn14, signal: np.ndarray) -> np.ndarray:
    """(samples,) float32 at 32 kHz -> (embedding,) float32."""
    import torch

    from amid.core.portable import route_to_numpy

    route_to_numpy()
    spectrogram = torch.from_numpy(decibels(signal))[None]  # (1, T, 64)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in one order; the extraction has a process a core already
    try:
        with torch.inference_mode():
            return network(spectrogram)[0].numpy()
    finally:
        torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def frozen(embedding: int, weights: str | None, sha256: str | None) -> Cnn14:
    """The network, read once a process. Raises AmidError."""
    import amid.core.reproducible  # isort: skip  # noqa: F401  pins kernels before torch loads
    from amid.networks import cnn14
    from amid.sources.weights import given

    path = fetch(embedding, sha256) if weights is None else given(weights, sha256, "cnn14")
    return cnn14.load(path, embedding)


def fetch(embedding: int, sha256: str | None = None) -> Path:
    """The published weights. A sum that is not pinned is printed. Raises AmidError."""
    from amid.sources.weights import published

    name, size, known = PUBLISHED[embedding]
    address = f"{ADDRESS}/{name}?download=1"
    got = published(name, address, "cnn14", sha256=sha256 or known, size=size)
    if not got.pinned:
        print(f"{name}: {got.size} bytes. To pin it, add to cnn14's line of the data set's block:")
        print(f"sha256: {got.sha256}")
    return got.path


# ---------------------------------------------------------------- the front end


def decibels(signal: np.ndarray) -> np.ndarray:
    """(samples,) float32 at 32 kHz -> (T, 64) float32, 10 log10 of the power in mel bands.

    Frames are centred at multiples of HOP, T = 1 + samples // HOP, the ends mirrored; a signal
    shorter than SHORTEST is followed by silence up to there. Values are at least -100 dB.
    """
    import scipy.fft

    if len(signal) < SHORTEST:
        signal = np.pad(signal, (0, SHORTEST - len(signal)))
    padded = np.pad(signal, WINDOW // 2, mode="reflect")
    pieces = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]  # (T, WINDOW)
    window, filters = hann(), sparse_filters()
    result = np.empty((len(pieces), BANDS), np.float32)
    for start in range(0, len(pieces), BLOCK):
        spectrum = scipy.fft.rfft(pieces[start : start + BLOCK] * window)  # (block, 513) complex64
        power = np.square(spectrum.real)
        power += np.square(spectrum.imag)
        mel = (filters @ power.T).T  # (block, 64)
        # In float64, so that another CPU's logarithm, off by its last bit, rounds to the same
        # float32.
        logarithm = np.log10(np.maximum(mel, FLOOR), dtype=np.float64)
        result[start : start + BLOCK] = 10.0 * logarithm
    return result


@lru_cache
def hann() -> np.ndarray:
    """(WINDOW,) float32, of period WINDOW."""
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


@lru_cache
def sparse_filters() -> csr_array:
    """`mel_filters` without their zeros."""
    from scipy.sparse import csr_array

    return csr_array(mel_filters())


def mel_filters() -> np.ndarray:
    """(64, 513) float32: triangles of area 1 Hz whose corners are equally far apart in mel, after
    Slaney's Auditory Toolbox (1998), as librosa's default has them."""
    corners = mel_to_hertz(np.linspace(hertz_to_mel(LOW), hertz_to_mel(HIGH), BANDS + 2))
    bins = np.arange(WINDOW // 2 + 1) * (RATE / WINDOW)
    left, middle, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = (bins - left) / (middle - left)  # (64, 513)
    falling = (right - bins) / (right - middle)
    triangles = np.maximum(np.minimum(rising, falling), 0.0)
    return (triangles * (2.0 / (right - left))).astype(np.float32)


LINEAR = 200.0 / 3.0  # Hz a mel below the knee
KNEE = 1000.0  # Hz, where the scale turns logarithmic
STEP = math.log(6.4) / 27.0  # of ln(Hz) a mel above it


def hertz_to_mel(frequency: float) -> float:
    """Slaney's mel of Hz."""
    if frequency < KNEE:
        return frequency / LINEAR
    return KNEE / LINEAR + math.log(frequency / KNEE) / STEP


def mel_to_hertz(mel: np.ndarray) -> np.ndarray:
    """Hz of Slaney's mels."""
    knee = KNEE / LINEAR
    return np.where(mel < knee, LINEAR * mel, KNEE * np.exp(STEP * (mel - knee)))
