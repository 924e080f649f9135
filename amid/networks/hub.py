"""Pre-trained networks of the transformers library, from a local folder or from its hub by name.

Only weights in safetensors are read, and no code that comes with a network is run.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from amid.errors import AmidError, ConfigError
from amid.io.project import project_home

# Initialised at random when they are missing: the hidden states do not depend on them.
WITHOUT_PART = frozenset({"masked_spec_embed"})
NEEDED = {
    "wav2vec2": "config.json, model.safetensors and preprocessor_config.json",
    "bert": "config.json, model.safetensors and vocab.txt or tokenizer.json",
}


class Frozen(NamedTuple):
    """A network in evaluation mode and what prepares its input."""

    network: Any  # transformers' Wav2Vec2Model or BertModel
    reader: Any  # Wav2Vec2FeatureExtractor or BertTokenizer
    layer: int  # among the hidden states, from 0 (the embedding) on


@lru_cache(maxsize=4)  # once in each worker process
def load_frozen(kind: str, model: str, revision: str | None, dims: int, layer: int) -> Frozen:
    """The `kind` ("wav2vec2" or "bert") of network in the folder `model`, or of that name on the
    hub, there at the commit `revision`, None = the newest. Sets torch to one thread.

    Raises AmidError if transformers is not installed or the network cannot be had, ConfigError if
    its vectors have other than `dims` numbers or it has no such `layer` (0 = the embedding, then 1
    a layer; negative ones count from the end).
    """
    _check_installed()
    from amid.networks.vision import declare_operators

    declare_operators()  # transformers imports torchvision where it is installed
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    place = _place(kind, model)
    origin = {"revision": revision or "main", "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(place, **origin)
        chosen = _check_config(kind, model, config, dims, layer)
        if kind == "wav2vec2":
            config.add_adapter = False  # it would shorten time after the last layer
            reader = transformers.Wav2Vec2FeatureExtractor.from_pretrained(place, **origin)
            made, extra = transformers.Wav2Vec2Model, {}
        else:
            reader = transformers.BertTokenizer.from_pretrained(place, **origin)
            made, extra = transformers.BertModel, {"add_pooling_layer": False}
        network, report = made.from_pretrained(
            place,
            config=config,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **origin,
            **extra,
        )
    except (ConfigError, MemoryError):
        raise
    # Damaged JSON, weights and vocabularies each raise an error of their own library.
    except Exception as error:
        raise AmidError(_unavailable(kind, model, str(error) or type(error).__name__)) from error
    absent = sorted(set(report["missing_keys"]) - WITHOUT_PART)
    if absent:
        raise AmidError(_unavailable(kind, model, f"it has no weights {absent[0]!r}"))
    _check_reader(kind, model, reader, config)
    return Frozen(network.eval(), reader, chosen)


def hidden(frozen: Frozen, **inputs: Any) -> Any:
    """The chosen layer's values (time, D) for one clip's `inputs`, a batch of one.

    The last layer is what the network itself puts out, after its final normalisation if it has one.
    """
    import torch

    last = frozen.layer == frozen.network.config.num_hidden_layers
    with torch.inference_mode():
        found = frozen.network(**inputs, output_hidden_states=not last)
    values = found.last_hidden_state if last else found.hidden_states[frozen.layer]  # (1, time, D)
    return values[0]


def _check_installed() -> None:
    if find_spec("transformers") is None:
        raise AmidError(
            "The extractor needs the package transformers, which is not installed: install it as "
            "requirements-paper.txt says."
        )


def _place(kind: str, model: str) -> str:
    """`model`, as a path where it is one, so that a mistyped path is not looked for on the hub.

    A path starts from the project's folder, also in DVC's queued experiments, which run in another.
    """
    folder = Path(model).expanduser()
    here = project_home() / folder
    if here.is_dir():
        return str(here)
    if folder.is_absolute() or model.startswith((".", "~")) or len(folder.parts) > 2:
        raise AmidError(_unavailable(kind, model, "there is no such folder"))
    return model


def _unavailable(kind: str, model: str, why: str) -> str:
    lines = [line.strip() for line in why.splitlines() if line.strip()]
    return (
        f"The {kind} network {model!r} cannot be loaded ({lines[0].rstrip('.')}): put a local "
        f"folder with its {NEEDED[kind]} there and name that folder as `model` in the block; "
        "docs/extractors.md tells how."
    )


def _check_config(kind: str, model: str, config: Any, dims: int, layer: int) -> int:
    """The layer's number from 0 on. Raises ConfigError."""
    if config.model_type != kind:
        raise ConfigError(
            f"The network {model!r} is a {config.model_type}, not a {kind}: name another as "
            "`model`."
        )
    if config.hidden_size != dims:
        raise ConfigError(
            f"The {kind} network {model!r} gives vectors of {config.hidden_size} numbers, not of "
            f"dims: {dims}: write dims: {config.hidden_size}."
        )
    layers = config.num_hidden_layers
    if not -layers - 1 <= layer <= layers:
        raise ConfigError(
            f"The {kind} network {model!r} has {layers} layers, so layer: {layer} is none of "
            f"them: use {-layers - 1} to {layers}."
        )
    return layer % (layers + 1)


def _check_reader(kind: str, model: str, reader: Any, config: Any) -> None:
    """Raise AmidError for a reader that is not this network's."""
    if kind == "wav2vec2":
        if reader.sampling_rate != 16000:
            why = f"its preprocessor_config.json wants {reader.sampling_rate} Hz, not 16000"
            raise AmidError(_unavailable(kind, model, why))
        return
    words = set(reader.get_vocab()) - set(reader.all_special_tokens)
    if not words:  # transformers goes on without the file
        raise AmidError(_unavailable(kind, model, "its vocabulary is missing"))
    if len(reader) > config.vocab_size:
        why = f"its vocabulary has {len(reader)} words, the network {config.vocab_size}"
        raise AmidError(_unavailable(kind, model, why))
