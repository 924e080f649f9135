"""R(2+1)D-18: a residual network of spatial and temporal convolutions, trained end to end.

Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018. The
parameters have torchvision's names (`torchvision.models.video.r2plus1d_18`), so its published
weights load, and torchvision itself is not needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from amid.networks.encoders import EncoderOptions, Positive
from amid.networks.normalise import BatchNorm

if TYPE_CHECKING:
    from amid.core.video_clips import Clips

# Kinetics-400's, as CCL's published code has them.
MEAN = (0.4345, 0.4051, 0.3775)
STD = (0.2768, 0.2713, 0.2737)
PUBLISHED = "r2plus1d_18-91a641e6.pth"
ADDRESS = f"https://download.pytorch.org/models/{PUBLISHED}"
KINETICS = "kinetics400"  # the name of torchvision's published weights in params.yaml


def spatiotemporal(inputs: int, outputs: int, middle: int, stride: int = 1) -> nn.Sequential:
    """A factorised 3 x 3 x 3 convolution: 1 x 3 x 3 to `middle` channels, then 3 x 1 x 1."""
    return nn.Sequential(
        nn.Conv3d(inputs, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        BatchNorm(middle),
        nn.ReLU(),
        nn.Conv3d(middle, outputs, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
    )


class Block(nn.Module):
    """Residual block of two such convolutions: (B, C, T, H, W) -> (B, C', T/s, H/s, W/s)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        # As many parameters as a whole 3 x 3 x 3 kernel; torchvision takes it for both.
        middle = inputs * outputs * 27 // (inputs * 9 + outputs * 3)
        first = spatiotemporal(inputs, outputs, middle, stride)
        self.conv1 = nn.Sequential(first, BatchNorm(outputs), nn.ReLU())
        second = spatiotemporal(outputs, outputs, middle)
        self.conv2 = nn.Sequential(second, BatchNorm(outputs))
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            around = nn.Conv3d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(around, BatchNorm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        around = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.conv2(self.conv1(x)) + around)


class R2Plus1d(nn.Module):
    """Windows of frames -> representations: (B, T, H, W, 3) uint8, red first -> (B, D).

    options: `blocks` a stage (2: the 18 layers; 1: the smaller one of CCL's published code),
    `width` of the first stage (64), `window` T in frames, `size` H = W in pixels, `weights` to
    start from (a file, "kinetics400" for torchvision's, or None) and their `sha256`.
    A last linear map changes the length where D is not that of the last stage.
    """

    class Options(EncoderOptions):
        blocks: Positive
        width: Positive
        window: Annotated[int, Field(ge=2)]
        size: Annotated[int, Field(ge=16)]
        weights: Annotated[str, Field(min_length=1)] | None
        sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None

        @model_validator(mode="after")
        def _named_weights_have_a_sum(self) -> R2Plus1d.Options:
            if self.weights not in (None, KINETICS) and self.sha256 is None:
                raise ValueError(
                    f"the weights {self.weights} need their sha256 beside them, as results depend "
                    "on it: `sha256sum` prints it"
                )
            return self

    axes: ClassVar[int] = 4

    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, ...], dim: int, slope: float, options: dict) -> None:
        super().__init__()
        width, blocks = options["width"], options["blocks"]
        self.options = options
        middle = max(round(width * 45 / 64), 1)
        self.stem = nn.Sequential(
            nn.Conv3d(3, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            BatchNorm(middle),
            nn.ReLU(),
            nn.Conv3d(middle, width, (3, 1, 1), 1, (1, 0, 0), bias=False),
            BatchNorm(width),
            nn.ReLU(),
        )
        inputs = width
        for stage in range(4):
            outputs, stride = width * 2**stage, 1 if stage == 0 else 2
            first = Block(inputs, outputs, stride)
            others = [Block(outputs, outputs, 1) for _ in range(blocks - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *others))
            inputs = outputs
        self.project = nn.Identity() if dim == inputs else nn.Linear(inputs, dim)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.register_buffer("mean", torch.tensor(MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(STD), persistent=False)

    def prepare(self, samples: Clips) -> None:
        """Loads the weights to start from. Raises AmidError for a file that does not fit."""
        if self.options.get("weights"):
            self.load_published(self.options["weights"], self.options.get("sha256"))

    def windows(self, clips: Clips) -> tuple[Clips, Tensor]:
        """All windows of the clips for evaluation, and the index of each window's clip."""
        return clips.windows(self.options["window"])

    def read(self, clips: Clips) -> Tensor:
        """One window a clip, as `forward` takes it."""
        return clips.pictures(self.options["window"], self.options["size"])

    @property
    def example(self) -> Tensor:
        """Of the shape and type that `forward` takes, two windows."""
        size = self.options["size"]
        return torch.zeros(2, self.options["window"], size, size, 3, dtype=torch.uint8)

    def forward(self, x: Tensor) -> Tensor:
        pictures = (x / 255.0 - self.mean) / self.std  # (B, T, H, W, 3)
        maps = self.stem(pictures.permute(0, 4, 1, 2, 3))  # (B, C, T, H/2, W/2)
        for stage in range(4):
            maps = getattr(self, f"layer{stage + 1}")(maps)
        # A mean, as the backward pass of adaptive pooling has no fixed order on a GPU.
        return self.project(maps.mean((2, 3, 4)))  # (B, D)

    def load_published(self, weights: str, sha256: str | None) -> None:
        """Weights with torchvision's names; a classifier's (`fc`) are left out."""
        from amid.sources import weights as files

        if weights == KINETICS:
            path = files.of_torchvision(PUBLISHED, ADDRESS, "r2plus1d", sha256)
        else:
            path = files.given(weights, sha256, "r2plus1d")
        kept = {n: v for n, v in files.read(path).items() if not n.startswith("fc.")}
        own = {n: v for n, v in self.state_dict().items() if not n.startswith("project.")}
        blocks, width = self.options["blocks"], self.options["width"]
        network = f"R(2+1)D of {blocks} blocks a stage and width {width}"
        self.load_state_dict(files.fitting(path, kept, own, network), strict=False)
