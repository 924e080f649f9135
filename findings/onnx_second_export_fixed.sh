#!/usr/bin/env bash
# With torch 2.13.0, the same GRU exported twice to ONNX in one process has a free length only the first time.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - 2> "$folder/log" <<'PYTHON'
import logging
import sys

import torch
from torch.export import Dim

logging.disable(logging.WARNING)


class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(4, 8, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]


def length():
    """Of the input of an export whose batch and length are asked to be free."""
    shapes = ({0: Dim("batch"), 1: Dim("length")},)
    example = (torch.zeros(2, 7, 4),)
    program = torch.onnx.export(Encoder().eval(), example, dynamic_shapes=shapes, dynamo=True, verbose=False)
    dimension = program.model_proto.graph.input[0].type.tensor_type.shape.dim[1]
    return dimension.dim_param or dimension.dim_value


found = [length() for _ in range(3)]
print("torch 2.13.0: torch.onnx.export(nn.GRU, an example of 7 steps, dynamic_shapes with a named length), three times")
print("Behaviour: the first export of a process has a free length. Each later one, of a new module of the same kind and with")
print("the same arguments, is fixed to the 7 steps of the example, without a word, though a length was asked for by name.")
print("One would have sworn: the same call gives the same program, or an error.")
print()
print(f"length of the input in the first, second and third export: {found}")
sys.exit(0 if found == ["length", 7, 7] else "No longer as described.")
PYTHON
