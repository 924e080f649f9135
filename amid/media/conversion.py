"""Pictures of decoded frames: upright, in colours that follow the film's own tags (matrix and
range; BT.601 where there is none). Fields of interlaced films are woven into frames, as FFmpeg
delivers them."""

from __future__ import annotations

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

cv2.setNumThreads(1)  # files are read in parallel, and one thread gives the same bits anywhere

# Matrices that FFmpeg's scaler refuses, by their numbers in ITU-T H.273. BT.2020 with constant
# luminance (10) is converted as without, as players do: greys are right, the most saturated colours
# up to 42 of 255 off.
YCGCO, MATRICES = 8, {10: Colorspace.BT2020}


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of an (H, W, 3) picture, blue first."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def colour(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8, red first, of an (H, W, 3) picture, blue first."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


# A scaler prepares itself for a kind of frame, which takes as long as to convert five of them: the
# next film, most often of the same kind, gets the last one's.
SPARE: list[VideoReformatter] = []


class Painter:
    """Makes pictures of decoded frames: upright, (H, W, 3) uint8, blue first."""

    def __init__(self) -> None:
        self.scaler = SPARE.pop() if SPARE else VideoReformatter()
        self.size: tuple[int, int] | None = None  # of the film's first frame: rows, columns
        self.frame: av.VideoFrame | None = None
        self.image: np.ndarray | None = None

    def begin(self, frame: av.VideoFrame) -> None:
        """The film's first frame."""
        size = frame.height, frame.width
        self.size = size[::-1] if _turned(frame) % 2 else size

    def end(self) -> None:
        """After the film's last frame."""
        self.frame = self.image = None
        if not SPARE:
            SPARE.append(self.scaler)

    def paint(self, frame: av.VideoFrame) -> np.ndarray:
        """A picture that is valid until the next call. One of another size than the film's first
        frame, where a film changes it on the way, is brought to that."""
        if frame is not self.frame:
            image = self._convert(frame)
            if turned := _turned(frame):
                image = np.ascontiguousarray(np.rot90(image, turned))
            if image.shape[:2] != self.size:
                image = cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_AREA)
            self.frame, self.image = frame, image
        return self.image

    def _convert(self, frame: av.VideoFrame) -> np.ndarray:
        if frame.colorspace == YCGCO:
            return self._from_ycgco(frame)
        scaled = self._scaled(frame, "bgr24", MATRICES.get(frame.colorspace))
        (plane,) = scaled.planes
        return _rows(plane, 3 * scaled.width).reshape(scaled.height, scaled.width, 3)

    def _from_ycgco(self, frame: av.VideoFrame) -> np.ndarray:
        """ITU-T H.273, matrix 8: green and orange as differences from brightness."""
        planar = self._scaled(frame, "yuv444p", Colorspace.ITU601)
        y, cg, co = (_rows(p, planar.width).astype(np.float32) for p in planar.planes)  # (H, W)
        full = frame.color_range == ColorRange.JPEG
        y = y if full else (y - 16.0) * np.float32(255 / 219)
        scale = np.float32(1.0 if full else 255 / 224)
        cg, co = (cg - 128.0) * scale, (co - 128.0) * scale
        image = np.stack([y - cg - co, y + cg, y - cg + co], axis=2)  # (H, W, 3), blue first
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)

    def _scaled(self, frame: av.VideoFrame, form: str, matrix: Colorspace | None) -> av.VideoFrame:
        return self.scaler.reformat(
            frame,
            format=form,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            interpolation=Interpolation.BICUBIC,
            threads=1,
        )


def _turned(frame: av.VideoFrame) -> int:
    """Quarter turns, to the left, by which a frame is to be shown."""
    return round(frame.rotation / 90) % 4


def _rows(plane: av.video.plane.VideoPlane, width: int) -> np.ndarray:
    """(height, width) uint8: a view of the plane, without what fills up its rows."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, :width]
