"""Trained networks as files: `model.safetensors` is written and loaded here.

Beside the weights the file holds a *card*: JSON with all that is needed to build the networks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from amid.core.checkpoint import write_checkpoint
from amid.errors import AmidError
from amid.networks.crossmodal import CrossModal, deployed
from amid.training.run_state import strip_prefix

if TYPE_CHECKING:
    from torch import Tensor

    from amid.training.trainer import Trainer


def write_model(path: Path, trainer: Trainer) -> None:
    """Writes the best epoch's student, or its teacher when the run trains no student."""
    heads = trainer.method.heads
    heads = ("student",) if "student" in heads else heads
    weights = deployed(strip_prefix("networks", trainer.state.best), heads)
    write_checkpoint(path, weights, model_card(trainer, heads))


def model_card(trainer: Trainer, heads: tuple[str, ...]) -> dict[str, Any]:
    """All that `load_model` needs beside the weights, and the accuracies of `heads` on validation
    at the best epoch.

    It is written as JSON with sorted keys, so that anything with an order is a list.
    """
    spec, state = trainer.spec, trainer.state
    widths = trainer.networks.widths if "teacher" in heads else {}
    best = state.history[state.best_epoch] if state.best_epoch >= 0 else {}
    accuracies = {head: best.get(f"validation_{head}") for head in heads}
    return {
        "auxiliary": [{"modality": name, "width": width} for name, width in widths.items()],
        "classes": trainer.data.classes,
        "directions": trainer.method.normalize_representations,
        "heads": list(heads),
        "network": spec.network,
        "precision": spec.training.get("precision", "float32"),
        "run": spec.key,
        "shape": list(trainer.data.train.target.shape[1:]),
        "target": spec.target,
        "validation": {head: value for head, value in accuracies.items() if value is not None},
    }


def load_model(
    card: dict[str, Any], weights: dict[str, Tensor], path: Path | None = None
) -> CrossModal:
    """Builds a trained student or teacher from the card and the weights of its file.

    Args:
        path: the file, to be named in an error.

    Returns:
        The networks in evaluation mode.

    Raises:
        AmidError: the card does not say in which order a teacher joins its auxiliary modalities. A
            wrong order raises no other error; it only makes the outputs wrong.
    """
    networks = CrossModal(
        trains=("student", *card["heads"]),
        normalize_representations=card["directions"],
        classes=len(card["classes"]),
        target_shape=tuple(card["shape"]),
        auxiliary_dims=_auxiliary_widths(card, path),
        network=card["network"],
        seed=0,
    )
    networks.load_state_dict(weights)
    return networks.eval()


def _auxiliary_widths(card: dict[str, Any], path: Path | None) -> dict[str, int]:
    """Width of each auxiliary modality that a model joins, in the order in which it joins them."""
    auxiliary = card["auxiliary"]
    if isinstance(auxiliary, list):
        return {entry["modality"]: entry["width"] for entry in auxiliary}
    # Earlier versions wrote an object, whose keys JSON sorts. With one modality that is no problem.
    if len(auxiliary) > 1:
        place = "The model" if path is None else path
        raise AmidError(
            f"{place} (run {card['run']}) does not tell in which order its teacher joins the "
            f"auxiliary modalities ({', '.join(sorted(auxiliary))}), as an earlier version of amid "
            "wrote it: delete it and train that run again."
        )
    return auxiliary
