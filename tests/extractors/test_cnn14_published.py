"""CNN14 against the published code, where it is installed beside the environment:

    pip install --no-deps --target DIR panns-inference torchlibrosa librosa numba llvmlite \
        lazy_loader audioread decorator msgpack pooch soxr
    PYTHONPATH=DIR pytest -m slow tests/extractors/test_cnn14_published.py

The published classes get random weights, which go to ours through a .pth.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from amid.extractors import cnn14
from amid.networks.cnn14 import load

NEEDED = ("panns_inference", "torchlibrosa", "librosa")
pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in NEEDED), reason="panns-inference is not installed"
)


@pytest.fixture
def published(monkeypatch):
    """panns_inference.models; the package's own __init__ would download labels."""
    (folder,) = find_spec("panns_inference").submodule_search_locations
    package = ModuleType("panns_inference")
    package.__path__ = [folder]
    monkeypatch.setitem(sys.modules, "panns_inference", package)
    return importlib.import_module("panns_inference.models")


def sounds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 48000).astype(np.float32)
    time = np.arange(32000) / 32000
    return {
        "noise": noise,
        "shortest": noise[: cnn14.SHORTEST],
        "odd": noise[:33333],
        "tone": (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32),
        "then silence": np.where(np.arange(48000) < 20000, noise * 1e-3, 0).astype(np.float32),
    }


@pytest.mark.parametrize("name", sorted(sounds()))
def test_decibels_are_those_of_torchlibrosa(name):
    from torchlibrosa.stft import LogmelFilterBank, Spectrogram

    spectrogram = Spectrogram(n_fft=1024, hop_length=320, win_length=1024)
    bands = LogmelFilterBank(sr=32000, n_fft=1024, n_mels=64, fmin=50, fmax=14000, top_db=None)
    signal = sounds()[name]
    with torch.inference_mode():
        want = bands(spectrogram(torch.from_numpy(signal)[None]))[0, 0].numpy()  # (T, 64)
    got = cnn14.decibels(signal)
    assert got.shape == want.shape
    # Far from a tone's peak float32 leaves 1e-7 of its amplitude: there both are only small.
    loud = want > want.max() - 90
    np.testing.assert_allclose(got[loud], want[loud], atol=0.02)
    assert got[~loud].max(initial=-200.0) < want.max() - 85


def test_filters_are_those_of_librosa():
    import librosa

    want = librosa.filters.mel(sr=32000, n_fft=1024, n_mels=64, fmin=50, fmax=14000)
    np.testing.assert_allclose(cnn14.mel_filters(), want, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("embedding", [512, 2048])
def test_embeddings_are_those_of_the_published_network(embedding, published, tmp_path: Path):
    torch.manual_seed(0)
    network = published.Cnn14(32000, 1024, 320, 64, 50, 14000, 527)
    if embedding == 512:  # Cnn14_emb512 differs in these two layers alone
        network.fc1 = torch.nn.Linear(2048, 512)
        network.fc_audioset = torch.nn.Linear(512, 527)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.8, 1.2)
                module.bias.uniform_(-0.1, 0.1)
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.8, 1.2)
            elif isinstance(module, torch.nn.Conv2d):
                module.weight.normal_(0, (2 / (9 * module.in_channels)) ** 0.5)
        network.bn0.running_mean.fill_(-40.0)
        network.bn0.running_var.fill_(400.0)
    network.eval()
    path = tmp_path / "published.pth"
    torch.save({"iteration": 1, "model": network.state_dict()}, path)
    ours = load(path, embedding)
    for name, signal in sounds().items():
        with torch.inference_mode():
            want = network(torch.from_numpy(signal)[None])["embedding"][0].numpy()
        got = cnn14.embed(ours, signal)
        assert got.shape == want.shape == (embedding,)
        assert 0.1 < (want > 0).mean() < 0.9, name
        np.testing.assert_allclose(got, want, atol=2e-3 * want.max(), err_msg=name)
