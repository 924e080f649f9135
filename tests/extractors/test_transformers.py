"""wav2vec2 and bert, on tiny networks with random weights that the tests make."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from amid.errors import AmidError, ConfigError
from amid.extractors import Span, bert, wav2vec2
from amid.media import MediaError, Reason
from amid.networks import hub
from amid.networks.vision import declare_operators
from tests.media.clips import NAN, tone, write_sound

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "a", "b", "c", "##a", "##b", "##c", ".", "A"]
WHOLE = Span("whole", NAN, NAN)
DIMS = 16


@pytest.fixture(scope="module")
def transformers() -> Any:
    if find_spec("transformers") is None:
        pytest.skip("transformers is not installed (requirements-paper.txt)")
    declare_operators()
    import transformers

    transformers.utils.logging.disable_progress_bar()
    return transformers


@pytest.fixture(scope="module")
def speech(transformers, tmp_path_factory) -> Path:
    """A wav2vec 2.0 that recognises letters, as the published base networks are built."""
    return make_speech(transformers, tmp_path_factory.mktemp("speech"))


def make_speech(transformers: Any, folder: Path, **values: Any) -> Path:
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=DIMS,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[8] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        vocab_size=8,
        **values,
    )
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def language(transformers, tmp_path_factory) -> Path:
    """A BERT of ten positions that fills in words."""
    folder = tmp_path_factory.mktemp("language")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=DIMS,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=len(WORDS),
        max_position_embeddings=10,
    )
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    return folder


def copy(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target / "copy"))


def by_voice(folder: Path, **values: Any) -> wav2vec2.Options:
    return wav2vec2.Options(model=str(folder), **{"dims": DIMS, **values})


def by_text(folder: Path, **values: Any) -> bert.Options:
    return bert.Options(model=str(folder), **{"dims": DIMS, **values})


def noise(seconds: float) -> np.ndarray:
    values = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * 16000))
    return (values + 0.05).astype(np.float32)


def write(folder: Path, text: str) -> Path:
    path = folder / "said.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize("module", [wav2vec2, bert])
def test_an_absent_package_is_one_sentence(module, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    path = write(tmp_path, "a b")
    with pytest.raises(AmidError, match=r"transformers, which is not .* requirements-paper\.txt"):
        module.extract(path, [WHOLE], module.Options(model="nobody/absent"))


@pytest.mark.parametrize("layer", [-1, 2, 1, -2, 0])
def test_speech_is_the_mean_over_time(transformers, speech, tmp_path, layer):
    signal = noise(0.5)
    path = write_sound(tmp_path / "a.wav", signal, subtype="FLOAT")
    got = wav2vec2.extract(path, [WHOLE], by_voice(speech, layer=layer))[0]
    assert got.shape == wav2vec2.shape(by_voice(speech)) == (DIMS,)
    assert got.dtype == np.float32

    network = transformers.Wav2Vec2Model.from_pretrained(speech).eval()
    even = (signal - signal.mean()) / np.sqrt(signal.var() + 1e-7)
    with torch.no_grad():
        found = network(torch.from_numpy(even)[None], output_hidden_states=True)
    values = found.hidden_states[layer][0]  # (time, DIMS)
    assert len(values) == 24  # a step each 20 ms that sees 25 ms
    total = np.zeros(DIMS)
    for step in values:
        total += step.numpy()
    np.testing.assert_allclose(got, total / len(values), atol=1e-5)


def test_last_layer_of_speech_is_normalised_as_the_network_does(transformers, tmp_path):
    # In the large networks a normalisation follows the last layer.
    folder = make_speech(
        transformers, tmp_path / "large", do_stable_layer_norm=True, feat_extract_norm="layer"
    )
    path = write_sound(tmp_path / "a.wav", noise(0.3), subtype="FLOAT")
    frozen = hub.load_frozen("wav2vec2", str(folder), None, DIMS, -1)
    values = frozen.reader(noise(0.3), sampling_rate=16000, return_tensors="pt").input_values
    with torch.no_grad():
        found = frozen.network(values, output_hidden_states=True)
    assert not torch.equal(found.hidden_states[-1], found.last_hidden_state)
    got = wav2vec2.extract(path, [WHOLE], by_voice(folder))[0]
    np.testing.assert_allclose(got, found.last_hidden_state[0].mean(0), atol=1e-6)


def test_spans_of_speech_do_not_touch_each_other(speech, tmp_path):
    signal = np.concatenate([noise(1.0), np.zeros(8000, np.float32), tone(0.5)])
    path = write_sound(tmp_path / "a.wav", signal)
    options = by_voice(speech)
    spans = [Span("a", 0.1, 0.7), Span("b", 0.0, 0.9), Span("c", 1.0, 1.5), Span("d", 3.0, 4.0)]
    long = wav2vec2.extract(path, spans, options)
    again = wav2vec2.extract(path, spans[:1], options)[0]
    np.testing.assert_array_equal(long[0], again)
    assert not np.array_equal(long[0], long[1])
    assert [long[2].reason, long[3].reason] == [Reason.silent, Reason.span_outside]
    alone = write_sound(tmp_path / "piece.wav", signal[1600:11200])
    np.testing.assert_allclose(wav2vec2.extract(alone, [WHOLE], options)[0], again, atol=1e-6)
    short = wav2vec2.extract(path, [Span("e", 0.0, 0.01)], options)[0]  # below the 25 ms of a step
    assert np.isfinite(short).all()


def test_text_is_the_mean_over_its_tokens(transformers, language, tmp_path):
    # 18 tokens where 8 fit between [CLS] and [SEP]: three pieces, the last of two tokens.
    path = write(tmp_path, "abc A b. c\n a zz b b b a a a c c c")
    got = bert.extract(path, [WHOLE, Span("b", 0.0, 1.0)], by_text(language))
    assert got[0].shape == bert.shape(by_text(language)) == (DIMS,)
    assert got[0].dtype == np.float32
    np.testing.assert_array_equal(got[0], got[1])

    tokens = ["a", "##b", "##c", "A", "b", ".", "c", "a", "[UNK]", *"bbbaaaccc"]
    network = transformers.BertModel.from_pretrained(language).eval()
    total, count = np.zeros(DIMS), 0
    for start in range(0, len(tokens), 8):
        piece = ["[CLS]", *tokens[start : start + 8], "[SEP]"]
        with torch.no_grad():
            found = network(torch.tensor([[WORDS.index(token) for token in piece]]))
        for place in range(1, len(piece) - 1):
            total += found.last_hidden_state[0, place].numpy()
            count += 1
    assert count == 18
    np.testing.assert_allclose(got[0], total / count, atol=1e-5)
    # The embedding knows nothing of the piece, only of the place in it.
    low = bert.extract(path, [WHOLE], by_text(language, layer=0))[0]
    assert not np.allclose(low, got[0], atol=1e-2)


def test_text_keeps_its_case_and_must_hold_words(language, tmp_path):
    small = bert.extract(write(tmp_path, "a b"), [WHOLE], by_text(language))[0]
    large = bert.extract(write(tmp_path, "A b"), [WHOLE], by_text(language))[0]
    assert not np.array_equal(small, large)
    for text in (" \n", "\u200b"):
        with pytest.raises(MediaError) as caught:
            bert.extract(write(tmp_path, text), [WHOLE], by_text(language))
        assert caught.value.reason is Reason.empty_file


def test_older_names_of_weights_are_read(speech, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = copy(speech, tmp_path)
    state = load_file(folder / "model.safetensors")
    place = "wav2vec2.encoder.pos_conv_embed.conv."
    for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
        state[place + old] = state.pop(f"{place}parametrizations.weight.{new}")
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    path = write_sound(tmp_path / "a.wav", noise(0.3))
    got, want = (wav2vec2.extract(path, [WHOLE], by_voice(f))[0] for f in (folder, speech))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dims": 768}, "vectors of 16 numbers, not of dims: 768: write dims: 16"),
        ({"layer": 3}, "2 layers, so layer: 3 .* use -3 to 2"),
        ({"layer": -4}, "2 layers, so layer: -4"),
    ],
)
def test_wrong_numbers_are_one_sentence(speech, language, tmp_path, values, message):
    path = write_sound(tmp_path / "a.wav", tone(0.2))
    with pytest.raises(ConfigError, match=message):
        wav2vec2.extract(path, [WHOLE], by_voice(speech, **values))
    with pytest.raises(ConfigError, match=message):
        bert.extract(write(tmp_path, "a"), [WHOLE], by_text(language, **values))


def test_networks_of_another_kind_are_refused(speech, language, tmp_path):
    path = write_sound(tmp_path / "a.wav", tone(0.2))
    with pytest.raises(ConfigError, match="is a bert, not a wav2vec2"):
        wav2vec2.extract(path, [WHOLE], by_voice(language))
    with pytest.raises(ConfigError, match="is a wav2vec2, not a bert"):
        bert.extract(write(tmp_path, "a"), [WHOLE], by_text(speech))


def refused(folder: Path | str, kind: str = "bert") -> str:
    """The sentence for a network that cannot be had."""
    with pytest.raises(AmidError) as caught:
        hub.load_frozen(kind, str(folder), None, DIMS, -1)
    text = str(caught.value)
    assert "\n" not in text
    assert "put a local folder with its config.json, model.safetensors and " in text
    return text


def test_folders_that_lack_something_are_told(transformers, speech, language, tmp_path):
    assert "there is no such folder" in refused(tmp_path / "nowhere")
    assert "there is no such folder" in refused("networks/of/mine")
    for name, source, kind in (
        ("config.json", language, "bert"),
        ("model.safetensors", language, "bert"),
        ("vocab.txt", language, "bert"),
        ("preprocessor_config.json", speech, "wav2vec2"),
    ):
        folder = copy(source, tmp_path / name)
        (folder / name).unlink()
        assert ("vocabulary" if name == "vocab.txt" else name) in refused(folder, kind)

    # Weights that can run code when they are read are not, even with nothing else there.
    pickled = copy(language, tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    assert "safetensors" in refused(pickled)

    damaged = copy(language, tmp_path / "damaged")
    data = (damaged / "model.safetensors").read_bytes()
    (damaged / "model.safetensors").write_bytes(data[: len(data) // 2])
    refused(damaged)


def test_paths_start_from_the_project(language, tmp_path, monkeypatch):
    copy(language, tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    text = write(tmp_path, "a b")
    got = bert.extract(text, [WHOLE], by_text(Path("copy")))[0]
    np.testing.assert_array_equal(got, bert.extract(text, [WHOLE], by_text(language))[0])
    assert "there is no such folder" in refused("./missing")


def test_missing_weights_are_not_made_up(transformers, language, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = copy(language, tmp_path)
    state = load_file(folder / "model.safetensors")
    del state["bert.encoder.layer.1.output.dense.weight"]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    assert "no weights 'encoder.layer.1.output.dense.weight'" in refused(folder)


def test_without_a_network_the_hub_is_one_sentence(transformers, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for name, kind in (("nobody/such-text", "bert"), ("nobody/such-speech", "wav2vec2")):
        assert f"network '{name}' cannot be loaded" in refused(name, kind)


@pytest.mark.slow
def test_other_processes_give_the_same_bytes(speech, language, tmp_path, root):
    sound, text = write_sound(tmp_path / "a.wav", noise(0.4)), write(tmp_path, "a b c")
    code = (
        "import sys; import amid.core.reproducible; from pathlib import Path\n"
        "from amid.extractors import Span, bert, wav2vec2\n"
        "_, sound, text, speech, language = sys.argv\n"
        "span = [Span('a', float('nan'), float('nan'))]\n"
        "one = wav2vec2.extract(Path(sound), span, wav2vec2.Options(model=speech, dims=16))[0]\n"
        "two = bert.extract(Path(text), span, bert.Options(model=language, dims=16))[0]\n"
        "sys.stdout.buffer.write(one.tobytes() + two.tobytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(sound), str(text), str(speech), str(language)],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
    )
    here = wav2vec2.extract(sound, [WHOLE], by_voice(speech))[0].tobytes()
    assert done.stdout == here + bert.extract(text, [WHOLE], by_text(language))[0].tobytes()
