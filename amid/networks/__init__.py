"""Networks: encoders of one modality, the fusion teacher, discriminators, and their composition."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any

# Encoders by their names in params.yaml: "module:class". A run's code includes the module of its
# own encoder only. A class has
#
#   class Options(pydantic.BaseModel)   # its block below `network` in params.yaml
#   axes: int                           # of one clip's features: 1 vector, 2 sequence, 4 frames
#   __init__(shape, dim, slope, options) # shape of one clip's features, D, Leaky ReLU, its numbers
#   prepare(samples)                    # called once with the training samples (N, ...)
#   forward(features)                   # (B, ...) -> (B, D)
ENCODERS: dict[str, str] = {
    "gru": "amid.networks.encoders:GruEncoder",
    "cnn": "amid.networks.encoders:CnnEncoder",
    "resnet": "amid.networks.resnet:ResnetEncoder",
    "transformer": "amid.networks.transformer:TransformerEncoder",
    "mlp": "amid.networks.encoders:MlpEncoder",
    "r2plus1d": "amid.networks.r2plus1d:R2Plus1d",
}


def load_encoder(name: str) -> Any:
    """The class of the encoder of that name in ENCODERS."""
    return resolve_name(ENCODERS[name])
