"""CNN14 against formulas written out here, a list of the published names, and a server."""

from __future__ import annotations

import hashlib
import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.fft
import torch
from pydantic import ValidationError
from ruamel.yaml import YAML
from safetensors.torch import save_file

from amid.data.extraction import extract_features
from amid.data.feature_store import FeatureStore
from amid.errors import AmidError
from amid.extractors import Span, cnn14, load
from amid.extractors.cnn14 import Options, Published, decibels, extract, mel_filters, shape
from amid.media import MediaError, Reason
from amid.media.film import read
from amid.networks import cnn14 as networks
from amid.networks.cnn14 import Cnn14
from amid.sources import download
from amid.sources.download import Patience
from tests.media.clips import NAN, tone, write_sound
from tests.params import put_params, read_params
from tests.small import ROOT
from tests.sources.test_download import running, status

RATE = 32000
NARROW = (2, 3, 4, 5, 6, 8)  # channels of a network with the same parts
HURRIED = Patience(attempts=2, pause=0.001, longest=0.01, connect=2.0, read=2.0)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network kept from another test; downloads stay in the test's folder, and hurry."""
    cnn14.frozen.cache_clear()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("AMID_MIRROR", raising=False)
    monkeypatch.setattr(download, "Patience", lambda: HURRIED)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "CHANNELS", NARROW)


def random_state(embedding: int = 512, seed: int = 0) -> dict[str, torch.Tensor]:
    """As a published file holds it: everything random, with the front end and the classes."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in Cnn14(embedding).state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            state[name] = 0.5 + torch.rand(tensor.shape, generator=generator)
        else:
            state[name] = 0.3 * torch.randn(tensor.shape, generator=generator)
    state["bn0.running_mean"] -= 40.0
    state["bn0.running_var"] *= 400.0
    for part in ("real", "imag"):
        state[f"spectrogram_extractor.stft.conv_{part}.weight"] = torch.zeros(513, 1, 1024)
    state["logmel_extractor.melW"] = torch.zeros(513, 64)
    state["fc_audioset.weight"] = torch.zeros(527, embedding)
    state["fc_audioset.bias"] = torch.zeros(527)
    return state


def write_weights(path: Path, state: dict[str, torch.Tensor]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"iteration": 3, "model": state}, path)
    return path


def chirp(seconds: float, seed: int = 0) -> np.ndarray:
    """(samples,) float32 at 32 kHz: two tones and noise."""
    noise = np.random.default_rng(seed).normal(0, 0.02, round(seconds * RATE))
    both = 0.3 * tone(seconds, RATE, 300.0 + 50 * seed) + 0.2 * tone(seconds, RATE, 5000.0)
    return (both + noise).astype(np.float32)


# ---------------------------------------------------------------- the front end


def slaney(mel: float) -> float:
    """Hz: 200 / 3 a mel up to 1 kHz, then 27 mels for each factor 6.4."""
    return 200 * mel / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def loop_filters() -> np.ndarray:
    low, high = 50 / (200 / 3), 15 + 27 * math.log(14) / math.log(6.4)
    corners = [slaney(low + (high - low) * k / 65) for k in range(66)]
    filters = np.zeros((64, 513))
    for band in range(64):
        left, middle, right = corners[band : band + 3]
        for number in range(513):
            f = number * 31.25
            if left < f <= middle:
                filters[band, number] = (f - left) / (middle - left)
            elif middle < f < right:
                filters[band, number] = (right - f) / (right - middle)
        filters[band] *= 2 / (right - left)
    return filters


def test_filters_by_explicit_loops():
    got = mel_filters()
    assert got.shape == (64, 513)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, loop_filters(), rtol=1e-5, atol=1e-9)
    assert got.any(axis=1).all()


@pytest.mark.parametrize("samples", [9920, 32000, 90001])
def test_decibels_by_explicit_loops(samples):
    signal = chirp(samples / RATE)
    got = decibels(signal)
    assert got.shape == (1 + samples // 320, 64)
    assert got.dtype == np.float32
    window = [math.sin(math.pi * n / 1024) ** 2 for n in range(1024)]
    filters = loop_filters()
    for step in {0, 1, 2, 30, len(got) // 2, len(got) - 2, len(got) - 1}:
        frame = []
        for n in range(step * 320 - 512, step * 320 + 512):
            n = -n if n < 0 else n  # mirrored at the first and the last sample
            n = 2 * (samples - 1) - n if n >= samples else n
            frame.append(float(signal[n]))
        power = np.abs(scipy.fft.fft(np.multiply(frame, window))[:513]) ** 2
        want = 10 * np.log10(np.maximum(filters @ power, 1e-10))
        np.testing.assert_allclose(got[step], want, atol=2e-3)


def test_silence_is_minus_100_decibels_and_short_sounds_are_followed_by_it():
    assert (decibels(np.zeros(20000, np.float32)) == -100.0).all()
    for samples in (1, 100, 513, 1023, 9919):
        signal = chirp(1.0)[:samples]
        padded = np.concatenate([signal, np.zeros(9920 - samples, np.float32)])
        np.testing.assert_array_equal(decibels(signal), decibels(padded))
        assert decibels(signal).shape == (32, 64)


# ---------------------------------------------------------------- the network


def test_names_and_shapes_are_those_of_the_published_files():
    # As listed in qiuqiangkong/audioset_tagging_cnn, issue 18, for the sister network at 16 kHz.
    want = {"bn0": (64,)}
    before = 1
    for block, channels in enumerate((64, 128, 256, 512, 1024, 2048), start=1):
        want[f"conv_block{block}.conv1.weight"] = (channels, before, 3, 3)
        want[f"conv_block{block}.conv2.weight"] = (channels, channels, 3, 3)
        want |= {f"conv_block{block}.bn{n}": (channels,) for n in (1, 2)}
        before = channels
    for name in [name for name in want if "conv1" not in name and "conv2" not in name]:
        size = want.pop(name)
        parts = ("weight", "bias", "running_mean", "running_var")
        want |= {f"{name}.{part}": size for part in parts}
        want[f"{name}.num_batches_tracked"] = ()
    for embedding in (512, 2048):
        want |= {"fc1.weight": (embedding, 2048), "fc1.bias": (embedding,)}
        with torch.device("meta"):
            state = Cnn14(embedding).state_dict()
        assert {name: tuple(tensor.shape) for name, tensor in state.items()} == want


def test_forward_by_formulas(narrow, tmp_path):
    state = random_state()
    network = networks.load(write_weights(tmp_path / "w.pth", state), 512)
    x = torch.from_numpy(decibels(chirp(0.7)))  # (71, 64)

    def normalised(x: torch.Tensor, name: str) -> torch.Tensor:  # over axis 0
        mean, variance, weight, bias = (
            state[f"{name}.{part}"].double().reshape(-1, *[1] * (x.ndim - 1))
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def convolved(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        padded = torch.zeros(x.shape[0], x.shape[1] + 2, x.shape[2] + 2, dtype=x.dtype)
        padded[:, 1:-1, 1:-1] = x
        return sum(
            torch.einsum(
                "oi,itf->otf",
                weight[:, :, row, column].double(),
                padded[:, row : row + x.shape[1], column : column + x.shape[2]],
            )
            for row in range(3)
            for column in range(3)
        )

    y = normalised(x.double().T, "bn0").T[None]  # (1, 71, 64)
    for block in range(1, 7):
        for part in (1, 2):
            name = f"conv_block{block}"
            y = convolved(y, state[f"{name}.conv{part}.weight"])
            y = normalised(y, f"{name}.bn{part}").clamp(min=0)
        if block < 6:
            time, bands = y.shape[1] // 2 * 2, y.shape[2]
            y = y[:, :time].reshape(len(y), time // 2, 2, bands // 2, 2).mean(dim=(2, 4))
    assert y.shape == (8, 2, 2)
    y = y.mean(dim=2)
    y = y.max(dim=1).values + y.mean(dim=1)
    want = (state["fc1.weight"].double() @ y + state["fc1.bias"].double()).clamp(min=0)
    got = network(x[None])[0]
    assert (got > 0).any()
    torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=1e-4)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("embedding", [512, 2048])
def test_both_kinds_of_file_give_the_same_values(embedding, narrow, tmp_path):
    write_sound(tmp_path / "a.wav", chirp(0.5), RATE)
    state = random_state(embedding)
    found = []
    for name in ("w.pth", "w.safetensors"):
        write_weights(tmp_path / name, state)
        options = Options(embedding=embedding, weights=name)  # from the project's folder on
        found += extract(tmp_path / "a.wav", [Span("a", NAN, NAN)], options)
    assert found[0].shape == shape(options) == (embedding,)
    assert found[0].dtype == np.float32
    assert found[0].any()
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("old", [False, True])
def test_arrays_beside_the_weights_are_no_obstacle(old, narrow, tmp_path):
    state, path = random_state(), tmp_path / "w.pth"
    content = {"model": state, "sampler": {"indexes": np.arange(5), "pointer": 2}}
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    if old:  # as NumPy 1 and torch 1 wrote it
        data = path.read_bytes()
        assert b"numpy._core.multiarray" in data
        path.write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    got = networks.load(path, 512).state_dict()
    assert torch.equal(got["fc1.weight"], state["fc1.weight"])


def test_files_of_older_torch_lack_the_counters(narrow, tmp_path):
    state = {k: v for k, v in random_state().items() if not k.endswith("num_batches_tracked")}
    got = networks.load(write_weights(tmp_path / "w.safetensors", state), 512).state_dict()
    whole = networks.load(write_weights(tmp_path / "whole.safetensors", random_state()), 512)
    for name, tensor in whole.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(got[name], tensor), name


def change(state: dict, what: str) -> dict:
    if what == "missing":
        del state["fc1.bias"], state["conv_block3.bn1.running_var"]
    elif what == "strange":
        state["att_block.att.weight"] = torch.zeros(3)
    elif what == "shape":
        state["bn0.weight"] = torch.zeros(128)
    elif what == "infinite":
        state["bn0.bias"][3] = math.inf
    return state


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("missing", "lack conv_block3.bn1.running_var, fc1.bias: use the file of CNN14 with 512"),
        ("strange", "hold att_block.att.weight, which CNN14 does not have: use"),
        ("shape", "bn0.weight in the weights "),
        ("infinite", "is not finite everywhere: use"),
    ],
)
def test_other_weights_are_told(what, said, suffix, narrow, tmp_path):
    path = write_weights(tmp_path / f"w.{suffix}", change(random_state(), what))
    with pytest.raises(AmidError, match=said) as caught:
        networks.load(path, 512)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_other_embedding_is_told(narrow, tmp_path):
    path = write_weights(tmp_path / "w.pth", random_state(2048))
    with pytest.raises(AmidError, match=r"\(2048, 8\), not \(512, 8\).* or change `embedding`"):
        networks.load(path, 512)


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_files_that_are_no_weights_are_told(narrow, tmp_path, capsys):
    cases = {"text.pth": b"<html>", "text.safetensors": b"<html>", "empty.pth": b""}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
    whole = write_weights(tmp_path / "whole.pth", random_state()).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    torch.save({"model": Evil()}, tmp_path / "code.pth")
    for name in (*cases, "cut.pth", "code.pth"):
        with pytest.raises(AmidError, match="are damaged or no file of tensors") as caught:
            networks.load(tmp_path / name, 512)
        assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""  # the file's code did not run
    for name in ("none.pth", "none.safetensors"):
        with pytest.raises(AmidError, match=r"cannot be read: .*put the file there or correct"):
            networks.load(tmp_path / name, 512)
    torch.save(random_state(), tmp_path / "bare.pth")
    with pytest.raises(AmidError, match="no entry 'model'"):
        networks.load(tmp_path / "bare.pth", 512)


# ---------------------------------------------------------------- spans


def test_a_span_has_the_same_bytes_whatever_else_is_asked_for(narrow, tmp_path):
    write_weights(tmp_path / "w.pth", random_state())
    options = Options(weights="w.pth")
    sound = np.concatenate([chirp(0.6), np.zeros(RATE // 2, np.float32), chirp(0.5, seed=1)])
    path = write_sound(tmp_path / "a.wav", sound, RATE)
    spans = [
        Span("a", NAN, NAN),
        Span("b", 0.1, 0.6),
        Span("c", 0.7, 1.0),
        Span("d", 1.2, 1.201),
        Span("e", 1.0, 3.0),
    ]
    together = extract(path, spans, options)
    assert together[2].reason == Reason.silent
    assert "0.700 to 1.000 s" in together[2].detail
    assert together[4].reason == Reason.span_outside
    for number in (0, 1, 3):
        cnn14.frozen.cache_clear()
        np.testing.assert_array_equal(extract(path, [spans[number]], options)[0], together[number])
    assert not np.array_equal(together[0], together[1])
    assert extract(path, [], options) == []
    (reading,) = read(path, [cnn14.request(spans, options)])
    assert reading.seconds == pytest.approx(1.6)


def test_other_rates_are_resampled(narrow, tmp_path):
    write_weights(tmp_path / "w.pth", random_state())
    sounds = [
        write_sound(tmp_path / f"{rate}.wav", tone(1.0, rate, 440.0), rate)
        for rate in (16000, 32000, 44100)
    ]
    network = cnn14.frozen(512, "w.pth", None)
    got = [extract(path, [Span("a", NAN, NAN)], Options(weights="w.pth"))[0] for path in sounds]
    for other in got:
        np.testing.assert_allclose(other, got[1], atol=0.1 * got[1].max())
    assert cnn14.frozen(512, "w.pth", None) is network


def test_bad_files_come_as_media_errors(narrow, tmp_path):
    write_weights(tmp_path / "w.pth", random_state())
    (tmp_path / "a.wav").write_bytes(b"no sound at all")
    with pytest.raises(MediaError):
        extract(tmp_path / "a.wav", [Span("a", NAN, NAN)], Options(weights="w.pth"))


def test_options_refuse_what_does_not_exist():
    for wrong in ({"embedding": 128}, {"sha256": "12"}, {"weight": "w.pth"}, {"embedding": "512"}):
        with pytest.raises(ValidationError):
            Options(**wrong)
    assert load("cnn14") is cnn14


def test_torch_is_not_loaded_with_the_options():
    code = "import sys, amid.extractors.cnn14; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# ---------------------------------------------------------------- the published file


@pytest.fixture
def published(narrow, tmp_path, monkeypatch):
    """A server in the place of Zenodo, with narrow weights; (site, their bytes)."""
    content = write_weights(tmp_path / "made" / "w.pth", random_state()).read_bytes()
    with running() as site:
        site.content = content
        monkeypatch.setattr(cnn14, "ADDRESS", site.address.rpartition("/")[0])
        yield site, content


def test_published_weights_are_fetched_once_and_their_sum_is_printed(published, tmp_path, capsys):
    site, content = published
    path = write_sound(tmp_path / "a.wav", chirp(0.4), RATE)
    got = extract(path, [Span("a", NAN, NAN)], Options())
    want = extract(path, [Span("a", NAN, NAN)], Options(weights="made/w.pth"))
    np.testing.assert_array_equal(got, want)
    kept = tmp_path / ".archives" / "weights" / "Cnn14_emb512_mAP=0.420.pth"
    assert kept.read_bytes() == content
    said = capsys.readouterr().out
    digest = hashlib.sha256(content).hexdigest()
    assert f"sha256: {digest}\n" in said
    assert "cnn14's line of the data set's block" in said
    extract(path, [Span("a", NAN, NAN)], Options(sha256=digest))
    assert capsys.readouterr().out == ""
    assert [request["path"] for request in site.requests] == [
        "/files/Cnn14_emb512_mAP=0.420.pth?download=1"
    ]
    with pytest.raises(AmidError, match="has the wrong sha256"):
        cnn14.fetch(512, "0" * 64)


def test_the_larger_file_is_checked_against_its_known_size(published, monkeypatch):
    known = cnn14.PUBLISHED[2048]
    assert known.name == "Cnn14_mAP=0.431.pth"
    with pytest.raises(AmidError, match=r"expected 327428481 bytes, the server announces \d+"):
        cnn14.fetch(2048)
    size = len(published[1])
    monkeypatch.setitem(cnn14.PUBLISHED, 2048, Published(known.name, size, known.sha256))
    with pytest.raises(AmidError, match=f"has the wrong sha256 .expected {known.sha256}"):
        cnn14.fetch(2048)


def test_a_mirror_comes_first(published, tmp_path, monkeypatch):
    monkeypatch.setenv("AMID_MIRROR", str(tmp_path / "made"))
    with pytest.raises(AmidError, match=r"Cnn14_emb512_mAP=0.420.pth is not in the mirror folder"):
        cnn14.fetch(512)
    file = tmp_path / "made" / "Cnn14_emb512_mAP=0.420.pth"
    file.write_bytes(published[1])
    assert cnn14.fetch(512) == file
    assert published[0].requests == []


def test_without_a_network_it_is_told_which_file_to_put_where(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/files"
    monkeypatch.setattr(cnn14, "ADDRESS", address)
    kept = tmp_path / ".archives" / "weights" / "Cnn14_emb512_mAP=0.420.pth"
    with pytest.raises(AmidError) as caught:
        cnn14.fetch(512)
    said = str(caught.value)
    assert said.startswith("Cnn14_emb512_mAP=0.420.pth could not be downloaded from http://127")
    assert said.endswith(f"; or put the file, fetched on another machine, at {kept}.")
    assert "\n" not in said
    kept.write_bytes(b"by hand")
    assert cnn14.fetch(512) == kept


def test_a_refusal_says_where_the_file_may_lie(published, tmp_path):
    published[0].script = [status(403)]
    with pytest.raises(AmidError, match=r"\(403\).*or put the file, .*\.archives/weights/Cnn14"):
        cnn14.fetch(512)


def test_own_weights_may_be_pinned(narrow, tmp_path):
    path = write_weights(tmp_path / "w.safetensors", random_state())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    cnn14.frozen(512, "w.safetensors", digest)
    with pytest.raises(AmidError, match=f"have the sha256 {digest}, not 0000"):
        cnn14.frozen(512, "w.safetensors", "0" * 64)


# ---------------------------------------------------------------- in the workflow


def test_the_feature_store_takes_the_vectors(narrow, in_process, tmp_path):
    write_weights(tmp_path / "w.pth", random_state())
    rows = []
    for number, split in enumerate(("train", "train", "validation", "test", "test")):
        signal = chirp(0.4, seed=number) if number < 4 else np.zeros(RATE // 2, np.float32)
        write_sound(tmp_path / f"{number}.wav", signal, RATE)
        rows.append(
            {
                "id": f"clip{number}",
                "label": "a",
                "split": split,
                "fold": -1,
                "group": "g",
                "audio_path": f"{number}.wav",
                "audio_start": NAN,
                "audio_end": NAN,
            }
        )
    index, quarantine, _ = extract_features(
        pd.DataFrame(rows),
        tmp_path,
        tmp_path / "features",
        {"audio": ("cnn14", Options(weights="w.pth"))},
        workers=1,
        required=["audio"],
    )
    assert list(index["id"]) == ["clip0", "clip1", "clip2", "clip3"]
    assert list(quarantine["reason"]) == ["silent"]
    got = FeatureStore.open(tmp_path / "features").array("audio")
    assert got.shape == (4, 512)
    for number in range(4):
        path = tmp_path / f"{number}.wav"
        want = extract(path, [Span("x", NAN, NAN)], Options(weights="w.pth"))[0]
        np.testing.assert_array_equal(got[number], want)


@pytest.mark.slow
def test_the_whole_network_runs(tmp_path):
    path = write_weights(tmp_path / "w.safetensors", random_state(2048))
    network = networks.load(path, 2048)
    # Table XII of the paper counts the layer of the 527 classes as well.
    assert sum(p.numel() for p in network.parameters()) == 80_753_615 - 527 * (2048 + 1)
    got = cnn14.embed(network, chirp(1.0))
    assert got.shape == (2048,)
    assert np.isfinite(got).all()


@pytest.mark.slow(seconds=75)
def test_a_teacher_trains_on_the_vectors_as_they_are(tmp_path, warm):
    """From sound files and a block of a data set to a trained run, encoder `none`."""
    place, folder = tmp_path, tmp_path / "own" / "hum"
    half = {k: t.half() if t.is_floating_point() else t for k, t in random_state().items()}
    write_weights(place / "weights" / "w.safetensors", half)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(24):
        label, name = "ab"[number % 2], f"clip{number:02d}"
        split = "train" if number < 12 else ("validation" if number < 18 else "test")
        (folder / "sound").mkdir(parents=True, exist_ok=True)
        write_sound(folder / "sound" / f"{name}.wav", chirp(0.4, seed=8 * (number % 2)), RATE)
        np.save(folder / f"{name}.npy", rng.normal(size=6).astype(np.float32))
        rows.append([name, label, split, f"{name}.npy", f"sound/{name}.wav"])
    table = pd.DataFrame(rows, columns=["id", "label", "split", "point", "audio"])
    table.to_csv(folder / "manifest.csv", index=False)
    values = read_params()
    values["data"]["hum"] = YAML().load(
        """
        source: own
        folder: own/hum
        options:
          manifest: manifest.csv
          modalities: [point, audio]
          seed: 0
          shares: {validation: 0.1, test: 0.2}
          folds: 5
        target: point
        auxiliary: [audio]
        setups: {}
        mismatch_ratio: 0.0
        quarantine_limit: 0.05
        extract:
          point: {extractor: features, dims: 6}
          audio: {extractor: cnn14, weights: weights/w.safetensors}
        encoders: {point: mlp, audio: none}
        training: {}
        auxiliary_training: {}
        """
    )
    values["datasets"], values["seeds"], values["workers"] = ["hum"], [0], 1
    values["training"] |= {"epochs": 2, "warmup_epochs": 1}
    put_params(place, values)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(place)}
    said = ""
    for stage in (
        "download",
        "extract",
        "auxiliary",
        "train baselines",
        "train warmup",
        "train amid",
    ):
        name, *words = stage.split()
        done = subprocess.run(
            [warm / "python", "-m", f"stages.{name}", *words, "hum"],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        said += done.stdout
    assert "extract@hum: 24 of 24 clips kept" in said
    assert "auxiliary@hum: audio is used as it is" in said
    vectors = FeatureStore.open(place / "data" / "hum" / "features").array("audio")
    assert vectors.shape == (24, 512)
    labels = FeatureStore.open(place / "data" / "hum" / "features").index["label"] == "a"
    assert len({row.tobytes() for row in vectors[labels]}) == 1  # the same sound, the same bytes
    record = place / "runs" / "amid" / "hum" / "amid" / "seed0" / "record.json"
    assert json.loads(record.read_text())["history"]
