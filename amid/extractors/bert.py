"""Text by BERT: the mean over the tokens of a hidden layer of a frozen, pre-trained network.

J. Devlin, M.-W. Chang, K. Lee, K. Toutanova (2019), BERT: Pre-training of deep bidirectional
transformers for language understanding, NAACL. The network is transformers'.

params.yaml is checked against this module's Options: torch and transformers are imported only where
they are used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from amid.extractors import Span
from amid.media import MediaError, Reason
from amid.media.text import read_text

if TYPE_CHECKING:
    from amid.networks.hub import Frozen


class Options(BaseModel):
    """model: a folder, from the project's on, or a name on the hub, at the commit `revision`.
    layer: 0 = the embedding, then 1 a layer; negative ones count from the end."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    model: str = Field("google-bert/bert-base-uncased", min_length=1)
    revision: str | None = None
    dims: int = Field(768, ge=1, le=1 << 20)
    layer: int = -1


def shape(options: Options) -> tuple[int]:
    """(dims,)."""
    return (options.dims,)


def extract(path: Path, spans: list[Span], options: Options) -> list[np.ndarray | MediaError]:
    """(dims,) float32 of the whole file for every span, for text has no time.

    Raises MediaError, and AmidError for a network that cannot be had.
    """
    from amid.core.portable import route_to_numpy
    from amid.networks.hub import load_frozen

    text = read_text(path, lower=False)  # whether case counts is the network's business
    frozen = load_frozen("bert", options.model, options.revision, options.dims, options.layer)
    route_to_numpy()
    values = describe(text, frozen)
    if values is None:
        raise MediaError(Reason.empty_file, f"{path.name} holds no word that BERT can read")
    return [values] * len(spans)


def describe(text: str, frozen: Frozen) -> np.ndarray | None:
    """(dims,) float32, the mean over the text's tokens; None if there are none.

    [CLS] and [SEP] are put around the text, as in the network's training, but left out of the mean.
    A text of more tokens than the network has positions is read in pieces one after another; the
    mean is over the tokens of all. Nothing is padded.
    """
    import torch

    from amid.networks.hub import hidden

    pieces = frozen.reader(
        text,
        truncation=True,
        max_length=frozen.network.config.max_position_embeddings,
        stride=0,
        return_overflowing_tokens=True,
        return_special_tokens_mask=True,
    )
    values = []
    for tokens, special in zip(pieces["input_ids"], pieces["special_tokens_mask"], strict=True):
        ids = torch.tensor([tokens])  # (1, tokens)
        found = hidden(frozen, input_ids=ids, attention_mask=torch.ones_like(ids))
        values.append(found[~torch.tensor(special, dtype=torch.bool)])  # (words, dims)
    joined = torch.cat(values)  # (all tokens, dims)
    return joined.mean(0).numpy() if len(joined) else None
