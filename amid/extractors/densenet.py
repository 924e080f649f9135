"""Pictures, such as a speaker's face, by DenseNet-121: its pooled features, averaged over frames.

G. Huang, Z. Liu, L. van der Maaten, K. Weinberger (2017), Densely connected convolutional networks,
CVPR. The network is torchvision's, its weights those that torchvision publishes, trained on
ImageNet, or others of the same network.

params.yaml is checked against this module's Options: torch, torchvision and OpenCV are imported
only where they are used.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from amid.errors import AmidError
from amid.extractors import Span
from amid.media import MediaError

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
    # top, bottom, left, right in shares of the picture, or of a span's box if it has one
    box: tuple[float, float, float, float] | None = Field(None, strict=False)
    size: int = Field(224, ge=32, le=1024)
    margin: float = Field(0.0, ge=0.0, le=10.0)  # looked at before and after the span

    @field_validator("box")
    @classmethod
    def _box_inside(
        cls, box: tuple[float, float, float, float] | None
    ) -> tuple[float, float, float, float] | None:
        if box is not None:
            top, bottom, left, right = box
            if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
                raise ValueError(
                    f"box {list(box)} must be shares of the picture from 0 to 1, top < bottom and "
                    "left < right"
                )
        return box


def shape(options: Options) -> tuple[int]:
    """(1024,)."""
    return (DIMS,)


def duration(path: Path) -> float | None:
    """Seconds of picture by the header, None if it does not tell. Raises MediaError."""
    from amid.media import video

    return video.duration(path)


def extract(path: Path, spans: list[Span], options: Options) -> list[np.ndarray | MediaError]:
    """(1024,) float32 a span. Raises MediaError, and AmidError for weights that are not there.

    Spans go through the network one by one, so that none changes another's last bits.
    """
    from amid.media import video

    network = load_network(options.weights, options.sha256)
    result: list[np.ndarray | MediaError | None] = [None] * len(spans)
    for part in dict.fromkeys(span.box for span in spans):  # each decodes the file once
        places = [place for place, span in enumerate(spans) if span.box == part]
        clips = video.read_frames(
            path,
            [(spans[place].start, spans[place].end) for place in places],
            options.frames,
            box=video.box_within(part, options.box),
            margin=options.margin,
            convert=lambda image: square(video.colour(image), options.size),
        )
        for place, clip in zip(places, clips, strict=True):
            result[place] = clip if isinstance(clip, MediaError) else describe(clip, network)
    return result


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

    networks = vision.torchvision().models
    import torch

    torch.set_num_threads(1)
    path = _published() if weights is None else _home() / Path(weights).expanduser()
    if not path.is_file():
        raise AmidError(
            f"There is no file {path} with DenseNet-121's weights: put it there, or name another "
            "as `weights` in params.yaml."
        )
    if sha256 is not None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            raise AmidError(
                f"The file {path} has the sha256 {found}, not {sha256}: replace it, or correct "
                "`sha256` in params.yaml if it is the file you want."
            )
    network = networks.densenet121(weights=None)
    state = {OLD_NAME.sub(r"\1\2", name): value for name, value in _read(path).items()}
    # Fine-tuned networks classify into something else; the classifier is not used anyway.
    kept = {name: value for name, value in state.items() if not name.startswith("classifier.")}
    wanted = {n: v for n, v in network.state_dict().items() if not n.startswith("classifier.")}
    for name, value in wanted.items():
        if name.endswith(".num_batches_tracked"):  # older files lack it; it takes no part
            kept.setdefault(name, value)
        elif name not in kept or kept[name].shape != value.shape:
            raise AmidError(
                f"The file {path} does not hold DenseNet-121's weights ({name} is missing or of "
                "another shape): give torchvision's file or one with the same names as `weights`."
            )
    network.load_state_dict(kept, strict=False)
    return network.features.eval()


def _home() -> Path:
    """The project's folder, also in DVC's queued experiments, which run in another."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd())


def _published() -> Path:
    """torchvision's file, downloaded into the project's archives unless it is there."""
    from amid.datasets.download import obtain, resolve_mirror

    target = _home() / ".archives" / "weights" / PUBLISHED
    try:
        # The whole sum is not published, only its start: that is compared below.
        file = obtain(
            PUBLISHED,
            ADDRESS,
            target,
            mirror=resolve_mirror(None, os.environ),
            sha256=None,
            echo=lambda line: None if "sum not pinned" in line else print(line),
        )
    except AmidError as error:
        raise AmidError(
            f"The densenet extractor has no weights: {str(error).rstrip('.')}; or put the file "
            f"somewhere and name it as `weights` in params.yaml, as docs/extractors.md tells."
        ) from error
    if not file.sha256.startswith("a639ec97"):
        raise AmidError(
            f"{file.path} is not the file that torchvision published (its sha256 starts with "
            f"{file.sha256[:8]}, not a639ec97): delete it and run again."
        )
    return file.path


def _read(path: Path) -> dict[str, torch.Tensor]:
    """Names and weights of a .safetensors, or of a .pth that holds nothing but weights."""
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load has no error of its own, but raises many others'
        raise _unreadable(path) from error
    if not isinstance(state, dict) or not all(hasattr(value, "shape") for value in state.values()):
        raise _unreadable(path)
    return state


def _unreadable(path: Path) -> AmidError:
    return AmidError(
        f"{path} cannot be read as weights, it is damaged or holds other things as well: give a "
        ".safetensors, or a .pth with the weights alone."
    )
