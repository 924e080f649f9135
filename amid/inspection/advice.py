"""What the size of own data suggests, by the rules of docs/when-it-helps.md, a sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# Labelled training clips of a class in the median, below which clips without a label were worth
# more than any loss: they were with 4, and there was little to see of it with 16 and 31.
FEW_LABELS = 10
PAGE = "docs/when-it-helps.md"


def advice(name: str, table: pd.DataFrame, encoders: Mapping[str, Any]) -> list[str]:
    """Sentences for whoever trains on these clips.

    name: of the data set. table: its clips, with label (NaN: none) and split. encoders: modality ->
    the encoder that was chosen for the length of its sequences.
    """
    train = table[table["split"] == "train"]
    counts = train["label"].value_counts()
    unlabelled = int(train["label"].isna().sum())
    lines = []
    if len(counts):
        each = float(counts.median())
        if each < FEW_LABELS and not unlabelled:
            lines.append(
                f"{each:g} labelled training clips a class are few: clips of all modalities with "
                f"an empty label are worth more than any method ({PAGE})"
            )
    if unlabelled:
        lines.append(
            f"{unlabelled} training clips have no label: compare `kd` (a fixed teacher) and "
            f"`amid_unlabelled` with the student alone, where such clips pay most ({PAGE})"
        )
        lines.append(
            "a teacher of few labels may want another modality_dropout than the 0.5 of the protocol"
            f" strong: compare -S 'dataset/{name}.yaml:++training.modality_dropout=0.0' on "
            "validation (docs/training.md)"
        )
    lines += [
        f"{modality}: the encoder {encoder} for sequences of this length; `resnet` is worth a try"
        for modality, encoder in encoders.items()
    ]
    lines.append(
        "first see how much there is to gain: "
        f"dvc exp run -S 'datasets=[{name}]' pipelines/headroom/dvc.yaml"
    )
    return lines
