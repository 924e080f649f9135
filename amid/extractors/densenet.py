"""Pictures, such as a speaker's face, by DenseNet-121: its pooled features, averaged over frames.

G. Huang, Z. Liu, L. van der Maaten, K. Weinberger (2017), Densely connected convolutional networks,
CVPR. The network is torchvision's, its weights those that torchvision publishes, trained on
ImageNet, or others of the same network.

params.yaml is checked against this module's Options: torch, torchvision and OpenCV are imported
only where they are used.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from amid.extractors import BoxOption, Span
from amid.media import MediaError, Pictures

if TYPE_CHECKING:
    import torch

DIMS = 1024
PUBLISHED = "densenet121-a639ec97.pth"  # the name ends with the start of the file's sha256
ADDRESS = f"https://download.pytorch.org/models/{PUBLISHED}"
# Of ImageNet's pictures in [0, 1], red, green, blue: what the published weights were trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# `norm.1` in published files is `norm1` in the network.
OLD_NAME = re.compile(r"(?<=\.)(norm|conv)\.([12])(?=\.)")


class Options(BaseModel):
    """weights: a .pth or .safetensors, from the project's folder on; None = torchvision's file,
    downloaded when first needed. sha256: that the weights must have, None = any, but for the start
    of torchvision's. `box` in shares of the picture, `margin` in seconds, `size` in pixels: the
    shorter side is scaled to it, and the square in the middle is seen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    weights: str | None = Field(None, min_length=1)
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    frames: int = Field(8, ge=1, le=1000)
    box: BoxOption | None = None  # in a span's own, if it has one
    size: int = Field(224, ge=32, le=1024)
    margin: float = Field(0.0, ge=0.0, le=10.0)  # looked at before and after the span


def shape(options: Options) -> tuple[int]:
    """(1024,)."""
    return (DIMS,)


def extract(path: Path, spans: list[Span], options: Options) -> list[np.ndarray | MediaError]:
    """(1024,) float32 a span. Raises MediaError, and AmidError for weights that are not there.

    Spans go through the network one by one, so that none changes another's last bits.
    """
    from amid.media.film import read_one

    return describe_clips(read_one(path, request(spans, options)), spans, options)


def request(spans: list[Span], options: Options) -> Pictures:
    """Frames in colour, as squares of the network's size. Raises AmidError as `extract` does,
    before anything is read."""
    from amid.media.conversion import colour

    load_network(options.weights, options.sha256)

    return Pictures(
        [(span.start, span.end, span.box) for span in spans],
        options.frames,
        options.box,
        options.margin,
        convert=lambda image: square(colour(image), options.size),
    )


def describe_clips(
    clips: list[np.ndarray | MediaError], spans: list[Span], options: Options
) -> list[np.ndarray | MediaError]:
    """`describe` of each clip of frames. Raises AmidError as `extract` does."""
    network = load_network(options.weights, options.sha256)
    return [clip if isinstance(clip, MediaError) else describe(clip, network) for clip in clips]


def square(image: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (size, size, 3): the shorter side scaled to `size`, then the middle."""
    import cv2

    height, width = image.shape[:2]
    scale = size / min(height, width)
    rows, columns = max(size, round(height * scale)), max(size, round(width * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(image, (columns, rows), interpolation=method)
    top, left = (rows - size) // 2, (columns - size) // 2
    return scaled[top : top + size, left : left + size].copy()


def describe(clip: np.ndarray, network: torch.nn.Module) -> np.ndarray:
    """(frames, H, W, 3) uint8, red first -> (1024,) float32: each frame's features after the last
    rectifier, averaged over the picture and then over the frames.

    Frames go through one by one: memory does not grow with their number.
    """
    import torch

    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))  # (3, 1, 1)
    total = torch.zeros(DIMS)
    with torch.inference_mode():
        for frame in clip:
            picture = torch.from_numpy(frame).permute(2, 0, 1)[None] / 255.0  # (1, 3, H, W)
            total += (
                network((picture - mean) / std).relu().mean((2, 3))[0]
            )  # (1, 1024, h, w) -> (1024,)
    return (total / len(clip)).numpy()


@lru_cache(maxsize=4)  # once in each worker process
def load_network(weights: str | None, sha256: str | None) -> torch.nn.Module:
    """DenseNet-121 up to its last normalisation, in evaluation mode. Sets torch to one thread.

    Raises AmidError if torchvision is not installed, or for weights that are missing, have another
    sum than `sha256` or are those of another network.
    """
    from amid.networks import vision
    from amid.sources import weights as files

    networks = vision.torchvision().models
    import torch

    from amid.core.portable import route_to_numpy

    torch.set_num_threads(1)
    route_to_numpy()
    path = (
        files.of_torchvision(PUBLISHED, ADDRESS, "densenet", sha256)
        if weights is None
        else files.given(weights, sha256, "densenet")
    )
    network = networks.densenet121(weights=None)
    state = {OLD_NAME.sub(r"\1\2", name): value for name, value in files.read(path).items()}
    # Fine-tuned networks classify into something else; the classifier is not used anyway.
    kept = {name: value for name, value in state.items() if not name.startswith("classifier.")}
    wanted = {n: v for n, v in network.state_dict().items() if not n.startswith("classifier.")}
    kept = files.fitting(path, kept, wanted, "DenseNet-121")
    network.load_state_dict(kept, strict=False)
    return network.features.eval()
