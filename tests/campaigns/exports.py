"""The files of an exported student against torch, on real recordings.

    python -m tests.campaigns.exports student/avlips data/grid/raw/s1 --clips 100

The features of the first recordings of a folder, as the student's extractor `frame_dct` reads them,
with as many frames as in training and with other numbers of them. Ends with 1 if a probability or
an entry of a representation is further than 1e-5 from torch's.
"""

from __future__ import annotations

import amid.core.reproducible  # isort: skip  # noqa: F401  pins kernels before torch is imported

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from amid.core.portable import route_to_numpy
from amid.io.progress import Progress
from amid.serving import student
from amid.serving.export import Deployed
from amid.serving.inputs import find_clips

LENGTHS = (1, 5, 8, 13, 40)  # frames of a clip
NEAR = 1e-5


def differences(folder: Path, files: Sequence[str], lengths: Sequence[int]) -> dict[str, float]:
    """Largest absolute difference of any output from the networks' in torch, for each exported file
    and length: {"student.onnx, 8 frames": 1e-7, ...}."""
    model = student.load(folder)
    network = Deployed(model.networks)
    program = torch.export.load(folder / student.PROGRAM).module()
    session = onnxruntime.InferenceSession(folder / student.ONNX)
    options, found = model.options, {}
    for length in lengths:
        model.options = options.model_copy(update={"frames": length})
        clips = []
        with Progress(f"clips of {length} frames", len(files)) as progress:
            for path in files:
                clips.append(model.features(path))
                progress.advance(1)
        features = np.stack(clips)  # (N, length, width)
        with torch.no_grad():
            expected = [values.numpy() for values in network(torch.from_numpy(features))]
        by_onnx = session.run(None, {"features": features})
        by_torch = [values.numpy() for values in program(torch.from_numpy(features))]
        for name, outputs in {student.ONNX: by_onnx, student.PROGRAM: by_torch}.items():
            pairs = zip(expected, outputs, strict=True)
            far = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
            found[f"{name}, {length} frames"] = far
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("student", type=Path)
    parser.add_argument("recordings")
    parser.add_argument("--clips", type=int, default=100)
    words = parser.parse_args()
    route_to_numpy()
    clips = find_clips([words.recordings], "frame_dct", np.nan, np.nan)[: words.clips]
    found = differences(words.student, [clip.path for clip in clips], LENGTHS)
    for name, far in found.items():
        print(f"{len(clips)} clips, {name}: {far:.1e} at most")
    raise SystemExit(not max(found.values()) <= NEAR)


if __name__ == "__main__":
    main()
