"""The student as a single network from features to probabilities, and its export.

The exported program needs torch and nothing of this project:

    program = torch.export.load("student/grid/program.pt2").module()
    probabilities, representations = program(features)      # (B, *shape) -> (B, C), (B, D)
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from amid.core.types import Batch

if TYPE_CHECKING:
    from amid.networks.crossmodal import CrossModal

EXAMPLE_BATCH = 2  # of the traced call; the program takes any size


class Deployed(nn.Module):
    """features (B, *shape) -> probabilities (B, C), representations (B, D)."""

    def __init__(self, networks: CrossModal) -> None:
        super().__init__()
        self.networks = networks
        self.eval()

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        nothing = features.new_empty(0)  # a student uses neither labels nor positions
        reps = self.networks(Batch(features, {}, nothing, nothing))
        return reps.student_logits.softmax(dim=1), reps.student  # (B, C), (B, D)


def export_program(networks: CrossModal, example: Tensor) -> bytes:
    """The bytes of a .pt2 file of the network for any batch size.

    example: features of EXAMPLE_BATCH clips. The bytes depend on the network alone: paths, lines of
    source and the example, which torch would pickle, are left out.
    """
    sizes = {0: torch.export.Dim("batch", min=1)}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # about the weights of a GRU, which export handles correctly
        program = torch.export.export(Deployed(networks), (example,), dynamic_shapes=(sizes,))
    program.example_inputs = None
    for module in program.graph_module.modules():
        for node in getattr(module, "graph", torch.fx.Graph()).nodes:
            node.meta.pop("stack_trace", None)
    file = io.BytesIO()  # a path's name would be stored in the archive
    torch.export.save(program, file)
    return file.getvalue()
