"""The student as a single network from features to probabilities, and its export.

The exported files need nothing of this project:

    program = torch.export.load("student/grid/program.pt2").module()
    probabilities, representations = program(features)      # (B, *shape) -> (B, C), (B, D)

    session = onnxruntime.InferenceSession("student/grid/student.onnx")
    probabilities, representations = session.run(None, {"features": features})

The number of clips is free, and so is the number of steps of sequences (the second axis of
features (B, steps, width)), whatever the student was trained with. Sequences of one call are
equally long.
"""

from __future__ import annotations

import copy
import io
import logging
import multiprocessing
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from amid.core.checkpoint import read_checkpoint
from amid.core.types import Batch
from amid.io.atomic import write_atomic
from amid.io.processes import die_with_parent
from amid.serving.student import ONNX, PROGRAM
from amid.training.model_file import load_model

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from amid.networks.crossmodal import CrossModal

EXAMPLE_BATCH = 2  # of the traced call; the program takes any size
EXAMPLE_STEPS = 24  # the same, of sequences of any length
OPSET = 20
INPUT, OUTPUTS = "features", ("probabilities", "representations")


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


class ScannedGru(nn.Module):
    """A GRU of one layer and direction as a loop over the steps, which keeps its length free:
    torch.export writes nn.GRU out for the number of steps of the example.

    (B, steps, I) -> states (B, steps, H), the last of them (1, B, H), as nn.GRU gives them.
    """

    def __init__(self, module: nn.GRU) -> None:
        super().__init__()
        for name, parameter in module.named_parameters():
            self.register_parameter(name, parameter)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        from torch._higher_order_ops.scan import scan

        weight, bias = self.weight_hh_l0, self.bias_hh_l0  # (3 H, H), (3 H,)
        inputs = functional.linear(x, self.weight_ih_l0, self.bias_ih_l0)  # (B, steps, 3 H)

        def step(state: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
            reset, update, new = given.chunk(3, dim=1)  # (B, H) each
            of_reset, of_update, inner = functional.linear(state, weight, bias).chunk(3, dim=1)
            reset, update = (reset + of_reset).sigmoid(), (update + of_update).sigmoid()
            new = (new + reset * inner).tanh()
            state = new + update * (state - new)
            return state, state.clone()

        start = x.new_zeros(x.shape[0], weight.shape[1])  # (B, H)
        last, states = scan(step, start, inputs.transpose(0, 1))
        return states.transpose(0, 1), last[None]


class PaddedPool(nn.Module):
    """nn.MaxPool1d with ceil_mode, written so that the length stays free: (B, C, steps) ->
    (B, C, ceil(steps / kernel))."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (0, self.kernel - 1), value=-torch.inf)[:, :, None]
        return functional.max_pool2d(x, (1, self.kernel))[:, :, 0]


def exportable(networks: CrossModal) -> tuple[Deployed, int]:
    """A copy of the networks without gradients, in which lengths stay free, and the fewest steps
    that the exported program takes of a sequence (torch.export excludes lengths of 1 within)."""
    deployed = Deployed(copy.deepcopy(networks)).requires_grad_(False)
    fewest = 1
    for parent in list(deployed.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, nn.GRU):
                kept = (module.num_layers, module.bidirectional, module.batch_first, module.bias)
                if kept == (1, False, True, True):
                    setattr(parent, name, ScannedGru(module))
            elif isinstance(module, nn.MaxPool1d) and _halves(module):
                setattr(parent, name, PaddedPool(module.kernel_size))
                fewest *= module.kernel_size
    return deployed, fewest + 1 if fewest > 1 else 1


def _halves(module: nn.MaxPool1d) -> bool:
    kernel = module.kernel_size
    return (
        module.ceil_mode
        and not module.return_indices
        and (module.stride, module.padding, module.dilation) == (kernel, 0, 1)
    )


def export_in_fresh_process(model: Path, shape: Sequence[int | None], folder: Path) -> bool:
    """`export_files` in a process of its own: torch keeps what it learns about lengths for as long
    as a process lives, and an export is not to depend on what was traced before it."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, die_with_parent, (os.getpid(),)) as pool:
        return pool.submit(export_files, model, shape, folder).result()


def export_files(model: Path, shape: Sequence[int | None], folder: Path) -> bool:
    """Writes PROGRAM and ONNX of a run's model file into `folder`; False, and no file, for an
    encoder whose length can be neither free nor fixed (`trace`)."""
    weights, network = read_checkpoint(model)
    program = trace(load_model(network, weights, model), shape)
    if program is None:
        return False
    write_atomic(folder / PROGRAM, export_program(program))
    write_atomic(folder / ONNX, export_onnx(program))
    return True


def trace(networks: CrossModal, shape: Sequence[int | None]) -> ExportedProgram | None:
    """The program of the networks for any number of clips and, of sequences, of steps; of an
    encoder that torch cannot trace so, for the steps of `shape`. None where that leaves them open.

    shape: of one clip's features, None first for sequences of any length; a network with an
    `example` is traced with that (a video: with its windows).
    """
    deployed, fewest = exportable(networks)
    example = getattr(networks.student, "example", None)
    if example is None:
        first, *rest = shape
        steps = max(EXAMPLE_STEPS, fewest) if first is None else first
        example = torch.zeros(EXAMPLE_BATCH, steps, *rest)
    batch = torch.export.Dim("batch", min=1)
    shapes: list[dict[int, Any]] = [] if None in shape else [{0: batch}]
    if example.ndim == 3:
        shapes.insert(0, {0: batch, 1: torch.export.Dim("steps", min=fewest)})
    program = None
    with torch.no_grad(), _quiet():
        for sizes in shapes:
            try:
                program = torch.export.export(deployed, (example,), dynamic_shapes=(sizes,))
                break
            except RuntimeError:  # what torch raises for a length that is not free
                if sizes is shapes[-1] and None not in shape:
                    raise
    if program is None:
        return None
    # The example, paths and lines of source, which torch would pickle, are left out: the bytes
    # depend on the network alone.
    program.example_inputs = None
    for module in program.graph_module.modules():
        for node in getattr(module, "graph", torch.fx.Graph()).nodes:
            node.meta.pop("stack_trace", None)
    return program


def export_program(program: ExportedProgram) -> bytes:
    """The bytes of a .pt2 file."""
    file = io.BytesIO()  # a path's name would be stored in the archive
    torch.export.save(program, file)
    return file.getvalue()


def export_onnx(program: ExportedProgram) -> bytes:
    """The bytes of a self-contained .onnx file, its weights included: input `features`, outputs
    `probabilities` and `representations`, axes `batch` and `steps`."""
    with torch.no_grad(), _quiet():
        model = torch.onnx.export(
            program, dynamo=True, opset_version=OPSET, verbose=False, external_data=False
        ).model_proto
    graph = model.graph
    names = {graph.input[0].name: INPUT}
    names |= dict(zip((value.name for value in graph.output), OUTPUTS, strict=True))
    free = [axis.dim_param for axis in graph.input[0].type.tensor_type.shape.dim]
    axes = {free[0]: "batch"} | ({free[1]: "steps"} if free[1:2] > [""] else {})
    for value in (*graph.input, *graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_param = axes[axis.dim_param]
    _tidy(graph, names)
    for function in model.functions:
        _tidy(function, {})
    del model.metadata_props[:]
    return model.SerializeToString(deterministic=True)


def _tidy(graph: Any, names: dict[str, str]) -> None:
    """Renames values, and leaves out what an export notes about its source: paths and lines."""
    del graph.value_info[:]
    del graph.metadata_props[:]
    for value in (*getattr(graph, "initializer", ()), *graph.input, *graph.output):
        if not isinstance(value, str):
            value.name = names.get(value.name, value.name)
            del value.metadata_props[:]
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
        for values in (node.input, node.output):
            values[:] = [names.get(name, name) for name in values]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _tidy(attribute.g, names)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's remarks about the weights of a GRU and about torchvision's absence."""
    remarks = logging.getLogger("torch.onnx")
    level = remarks.level
    remarks.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        remarks.setLevel(level)
