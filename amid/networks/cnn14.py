"""CNN14 of PANNs (Kong et al. 2020, "PANNs: Large-Scale Pretrained Audio Neural Networks for Audio
Pattern Recognition", doi:10.1109/TASLP.2020.3030497), and how its published weights are read.

Without the front end, which `amid.extractors.cnn14` computes, and without the layer that tells
AudioSet's 527 classes. Parameters bear the names that they have in the published files.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct
from torch import Tensor, nn
from torch.nn import functional

from amid.errors import AmidError

BANDS = 64  # of the mel scale
CHANNELS = (64, 128, 256, 512, 1024, 2048)
SHORTEST = 32  # time steps that five halvings leave one of
# In the published files, but not used here: the front end's constants and the classes.
LEFT_ASIDE = ("spectrogram_extractor.", "logmel_extractor.", "fc_audioset.")
# Some of PANNs' files keep the order of their training clips beside the weights: arrays, pickled
# under the name that NumPy 1 gave the function. None of these runs code of the file.
ARRAYS = [
    (_reconstruct, "numpy.core.multiarray._reconstruct"),
    _reconstruct,
    np.ndarray,
    np.dtype,
    np.dtypes.Int64DType,
]
COUNTER = "num_batches_tracked"  # of training alone; older files lack it


class Block(nn.Module):
    """(B, inputs, T, F) -> (B, outputs, T // pool, F // pool)."""

    def __init__(self, inputs: int, outputs: int, pool: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu_(self.bn1(self.conv1(x)))
        x = functional.relu_(self.bn2(self.conv2(x)))
        return x if self.pool == 1 else functional.avg_pool2d(x, self.pool)


class Cnn14(nn.Module):
    """Log-mel spectrograms in decibels (B, T, 64), T >= 32, -> embeddings (B, embedding) >= 0.

    Dropout is left out: the network is used frozen.
    """

    def __init__(self, embedding: int) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(BANDS)
        for number, (inputs, outputs) in enumerate(
            zip((1, *CHANNELS[:-1]), CHANNELS, strict=True), start=1
        ):
            pool = 1 if number == len(CHANNELS) else 2
            self.add_module(f"conv_block{number}", Block(inputs, outputs, pool))
        self.fc1 = nn.Linear(CHANNELS[-1], embedding)

    def forward(self, spectrogram: Tensor) -> Tensor:
        x = spectrogram.transpose(1, 2).unsqueeze(3)  # (B, 64, T, 1): normalised band by band
        x = self.bn0(x).permute(0, 3, 2, 1)  # (B, 1, T, 64)
        for number in range(1, len(CHANNELS) + 1):
            x = self.get_submodule(f"conv_block{number}")(x)
        x = x.mean(dim=3)  # (B, 2048, T // 32)
        x = x.amax(dim=2) + x.mean(dim=2)  # (B, 2048)
        return functional.relu_(self.fc1(x))


def load(path: Path, embedding: int) -> Cnn14:
    """The network with the weights of a published .pth, or of a .safetensors with its names;
    evaluating, frozen. Raises AmidError for a file that is not that network's."""
    state = _tensors(path)
    with torch.device("meta"):  # no memory, no random numbers for values that are replaced
        network = Cnn14(embedding)
    wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
    given = {name: tensor for name, tensor in state.items() if not name.startswith(LEFT_ASIDE)}
    _check(path, embedding, wanted, given)
    values = {
        name: torch.zeros((), dtype=torch.int64)
        if name.endswith(COUNTER)
        else given[name].to(torch.float32).contiguous()
        for name in wanted
    }
    network.load_state_dict(values, assign=True)
    return network.eval().requires_grad_(False)


def _check(
    path: Path, embedding: int, wanted: Mapping[str, torch.Size], given: Mapping[str, Tensor]
) -> None:
    """Raise AmidError for names or shapes that differ from the network's."""
    advice = f"use the file of CNN14 with {embedding} values that PANNs publishes"
    missing = [name for name in wanted if name not in given and not name.endswith(COUNTER)]
    if missing:
        raise AmidError(f"The weights {path} lack {_words(missing)}: {advice}.")
    strange = [name for name in given if name not in wanted]
    if strange:
        raise AmidError(
            f"The weights {path} hold {_words(strange)}, which CNN14 does not have: {advice}."
        )
    for name, tensor in given.items():
        if tensor.shape != wanted[name]:
            raise AmidError(
                f"{name} in the weights {path} has the shape {tuple(tensor.shape)}, not "
                f"{tuple(wanted[name])}: {advice}, or change `embedding`."
            )
        if not torch.isfinite(tensor).all():
            raise AmidError(f"{name} in the weights {path} is not finite everywhere: {advice}.")


def _tensors(path: Path) -> dict[str, Tensor]:
    """Name -> tensor of a .safetensors, or of the entry `model` of a .pth, which is read as data:
    a file that wants to run code is refused. Raises AmidError."""
    try:
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            try:
                return load_file(path)
            except SafetensorError as error:
                raise ValueError(str(error)) from error
        with torch.serialization.safe_globals(ARRAYS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise AmidError(
            f"The weights {path} cannot be read: {error.strerror or 'no such file'}; put the file "
            "there or correct `weights` in the data set's block."
        ) from error
    except (ValueError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise AmidError(
            f"The weights {path} are damaged or no file of tensors: fetch them anew, or save the "
            "tensors alone as .safetensors."
        ) from error
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise AmidError(
            f"The weights {path} have no entry 'model' with tensors by their names, as PANNs "
            "publishes it: use such a file, or a .safetensors."
        )
    return state


def _words(names: list[str]) -> str:
    """At most three of `names`."""
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
