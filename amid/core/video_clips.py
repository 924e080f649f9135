"""Cached videos, read when a batch needs them: windows, augmentation, one prediction a clip.

Training sees one random window a clip, cut and mirrored at random; an evaluation sees all windows
of a clip, whose centre is cut out, and averages their outputs. The protocol is that
of CCL's published code (random resized crop of area 0.25-1 and ratio 0.75-1.33, flip 0.5, one draw
a clip; the softmax averaged over windows of stride 16).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Generator, Tensor

AREA = (0.25, 1.0)  # of a random crop, as a share of the picture
RATIO = (0.75, 4 / 3)  # of its width to its height
FLIPPED = 0.5  # share of the clips that are mirrored
DRAWS = 6  # uniform numbers a clip: window, area, ratio, top, left, flip


@dataclass(frozen=True)
class Clips:
    """N clips of any length in one array of frames, from which nothing is read before `pictures`.

    frames: (total, H, W, 3) uint8, usually a memory map. starts, lengths: (N,) int64.
    draws: (N, DRAWS) float64 in [0, 1) that decide on each clip's augmentation; None without.
    """

    frames: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    draws: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, frames of the longest, H, W, 3), as a padded tensor would have it."""
        return len(self), int(self.lengths.max(initial=0)), *self.frames.shape[1:]

    @classmethod
    def of(cls, videos: list[np.ndarray]) -> Clips:
        """From videos (frames, H, W, 3) in memory."""
        lengths = np.array([len(video) for video in videos], np.int64)
        return cls(np.concatenate(videos), np.cumsum(lengths) - lengths, lengths)

    def index_select(self, axis: int, rows: Tensor) -> Clips:
        """The clips at `rows` (K,) int64, as a tensor's method of this name along axis 0."""
        at = rows.numpy()
        draws = None if self.draws is None else self.draws[at]
        return Clips(self.frames, self.starts[at], self.lengths[at], draws)

    def drawn(self, generator: Generator) -> Clips:
        """The same clips, each with its own random augmentation."""
        import torch

        draws = torch.rand(len(self), DRAWS, generator=generator, dtype=torch.float64)
        return replace(self, draws=draws.numpy())

    def windows(self, length: int) -> tuple[Clips, Tensor]:
        """All W consecutive windows of `length` frames, and the index (W,) int64 of each window's
        clip. A shorter rest is left out, but every clip has at least one window."""
        import torch

        counts = np.maximum(self.lengths // length, 1)  # (N,)
        owner = np.repeat(np.arange(len(self)), counts)  # (W,)
        number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        lengths = np.minimum(self.lengths[owner] - number * length, length)
        cut = Clips(self.frames, self.starts[owner] + number * length, lengths)
        return cut, torch.from_numpy(owner)

    def pictures(self, length: int, size: int) -> Tensor:
        """(N, length, size, size, 3) uint8: of each clip one window and one part of the picture.

        The first window and the middle without draws. A clip that is too short repeats its last
        frame.
        """
        import cv2
        import torch

        cv2.setNumThreads(1)
        result = np.empty((len(self), length, size, size, 3), np.uint8)
        height, width = self.frames.shape[1:3]
        for n, (start, frames) in enumerate(zip(self.starts, self.lengths, strict=True)):
            first, flipped = 0, False
            top, left, rows, columns = _middle(height, width, size)
            if self.draws is not None:
                window, *crop, flip = self.draws[n]
                first = int(window * (max(frames - length, 0) + 1))
                top, left, rows, columns = _crop(height, width, *crop)
                flipped = flip < FLIPPED
            numbers = start + np.minimum(first + np.arange(length), frames - 1)  # (length,)
            seen = np.s_[top : top + rows, left : left + columns]
            shrinks = rows >= size and columns >= size
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            for place, number in enumerate(numbers):
                picture = cv2.resize(self.frames[number][seen], (size, size), interpolation=method)
                result[n, place] = picture[:, ::-1] if flipped else picture
        return torch.from_numpy(result)


def per_clip(found: dict[str, Tensor], owner: Tensor) -> dict[str, Tensor]:
    """Averages outputs of windows (W, ...) to outputs of their clips (N, ...).

    For names that end in `_logits` the result is the logarithm of the mean softmax, whose softmax
    is that mean.
    """
    import torch

    count = torch.bincount(owner)[:, None]  # (N, 1)
    result = {}
    for name, values in found.items():
        logits = name.endswith("_logits")
        rows = values.double().softmax(1) if logits else values.double()  # (W, .)
        mean = rows.new_zeros(len(count), rows.shape[1]).index_add_(0, owner, rows) / count
        tiny = torch.finfo(torch.float32).tiny
        result[name] = (mean.clamp(min=tiny).log() if logits else mean).to(values.dtype)
    return result


def _middle(height: int, width: int, size: int) -> tuple[int, int, int, int]:
    """Top, left, rows and columns of the square of `size` in the middle, or of the largest."""
    side = min(height, width, size)
    return (height - side) // 2, (width - side) // 2, side, side


def _crop(
    height: int, width: int, area: float, ratio: float, top: float, left: float
) -> tuple[int, int, int, int]:
    """Top, left, rows and columns of a random crop, from four numbers in [0, 1). One that does not
    fit is cut to the picture."""
    share = AREA[0] + area * (AREA[1] - AREA[0])
    low, high = np.log(RATIO)
    stretch = np.exp(low + ratio * (high - low))
    rows = min(max(round(np.sqrt(share * height * width / stretch)), 1), height)
    columns = min(max(round(np.sqrt(share * height * width * stretch)), 1), width)
    return int(top * (height - rows + 1)), int(left * (width - columns + 1)), rows, columns
