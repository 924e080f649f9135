"""Frames of a clip, by OpenCV, with PyAV's second opinion on what looks damaged.

OpenCV reports no error on damaged files: it returns fewer frames than the header promises, or none.
A clip is accepted only if as many frames could be decoded as were declared (give or take one) and
picture and sound last equally long, where one file holds both.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np

from amid.media import MediaError, Reason, span_error
from amid.media.container import check, is_container

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # silent; read when a file is first opened
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
cv2.setNumThreads(1)  # files are read in parallel, and one thread gives the same bits anywhere

DURATION_TOLERANCE = 0.25  # seconds that picture and sound of one clip may differ
FRAME_TOLERANCE = 1  # frame counts in headers are often rounded

Box = tuple[float, float, float, float]
Wanted = Callable[[int, float], set[int]]
Convert = Callable[[np.ndarray], np.ndarray]


class Picture(NamedTuple):
    """What one pass over a file gave."""

    declared: int  # frames the header promises, <= 0 if it promises none
    count: int  # frames decoded
    rate: float  # frames a second
    images: dict[int, np.ndarray]  # frame number -> (H, W) uint8, or what `convert` made of it


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of an (H, W, 3) picture, blue first."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def colour(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8, red first, of an (H, W, 3) picture, blue first."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def sample_indices(
    start: float, end: float, count: int, rate: float, frames: int | None
) -> np.ndarray:
    """Numbers of `frames` frames evenly over [start, end) seconds of a clip of `count` frames.

    The span is cut into `frames` equal parts; each gives the frame shown at its middle. Short spans
    repeat frames. None = all frames that begin in the span, at least one. NaN stands for the start
    and the end of the clip.
    """
    start = 0.0 if math.isnan(start) else start
    end = count / rate if math.isnan(end) else end
    if frames is None:
        first, last = (math.ceil(seconds * rate - 1e-6) for seconds in (start, end))
        first = min(first, count - 1)
        return np.arange(first, max(min(last, count), first + 1))  # (all,)
    middles = start + (np.arange(frames) + 0.5) / frames * (end - start)  # (frames,)
    return np.clip(np.floor(middles * rate + 1e-6).astype(np.int64), 0, count - 1)  # (frames,)


def read_frames(
    path: Path,
    spans: list[tuple[float, float]],
    frames: int | None,
    *,
    box: Box | None = None,
    margin: float = 0.0,
    convert: Convert = grey,
) -> list[np.ndarray | MediaError]:
    """For each span of seconds its frames, (frames, H, W) uint8 grey, evenly over the span, or all
    of them where `frames` is None.

    `convert` makes another array of each picture, (H, W, 3) uint8, blue first, once it is cut:
    `colour`, or one that makes it small, as all frames of a file are held at once. It must return
    an array of its own, not a view, and all of one shape for a file.

    Spans count from the first frame; NaN stands for the clip's start or end. Frames are taken to
    follow each other at a constant rate. `box` = (top, bottom, left, right) in shares of the
    picture cuts every frame; `margin` widens spans by so many seconds on each side, as far as the
    clip goes. A span outside the clip gives a MediaError in its place. Raises MediaError for a bad
    file.
    """
    whole = check(path)

    def wanted(count: int, rate: float) -> set[int]:
        return {
            int(index)
            for start, end in spans
            if span_error(start, end, count / rate, 1 / rate) is None
            for index in sample_indices(*widen(start, end, count / rate), count, rate, frames)
        }

    def widen(start: float, end: float, duration: float) -> tuple[float, float]:
        return max(start - margin, 0.0), min(end + margin, duration)  # NaN stays NaN

    picture = _by_opencv(path, wanted, box, convert)
    if picture is None or not _as_declared(picture):
        picture = _second_opinion(path, picture, wanted, box, whole, convert)
    elif not picture.images.keys() >= wanted(picture.count, picture.rate):
        # The header was one off, so other frames are in the middle of the parts: read those.
        count, rate = picture.count, picture.rate
        again = _by_opencv(path, lambda *_: wanted(count, rate), box, convert)
        if again is None:
            raise MediaError(Reason.corrupt, f"{path.name} could be opened only once")
        picture = again
    count, rate = picture.count, picture.rate
    if count < 2:
        raise MediaError(Reason.too_few_frames, f"{path.name} has a single frame")
    _check_sound_length(path, count / rate)

    result: list[np.ndarray | MediaError] = []
    for start, end in spans:
        error = span_error(start, end, count / rate, 1 / rate)
        if error is not None:
            result.append(error)
            continue
        indices = sample_indices(*widen(start, end, count / rate), count, rate, frames)
        result.append(np.stack([picture.images[int(i)] for i in indices]))  # (frames, H, W, ...)
    return result


def read_parts(
    path: Path,
    spans: list[tuple[float, float, Box | None]],
    frames: int | None,
    *,
    box: Box | None = None,
    margin: float = 0.0,
    convert: Convert = grey,
) -> list[np.ndarray | MediaError]:
    """As `read_frames`, for spans that each have a part of the picture, None for all of it; `box`
    is then in shares of that part. The file is decoded once for each different part."""
    result: dict[int, np.ndarray | MediaError] = {}
    for part in dict.fromkeys(span[2] for span in spans):
        places = [place for place, span in enumerate(spans) if span[2] == part]
        clips = read_frames(
            path,
            [spans[place][:2] for place in places],
            frames,
            box=box_within(part, box),
            margin=margin,
            convert=convert,
        )
        result |= dict(zip(places, clips, strict=True))
    return [result[place] for place in range(len(spans))]


def box_within(part: Box | None, box: Box | None) -> Box | None:
    """The box of the picture that is `box`, in shares of `part`; None stands for the whole."""
    if part is None or box is None:
        return part if box is None else box
    top, bottom, left, right = part
    height, width = bottom - top, right - left
    return (
        top + box[0] * height,
        top + box[1] * height,
        left + box[2] * width,
        left + box[3] * width,
    )


def duration(path: Path) -> float | None:
    """Seconds of picture by the header, None if it does not tell. Raises MediaError."""
    check(path)
    capture = _open(path)
    if not capture.isOpened():
        raise MediaError(Reason.no_picture, f"{path.name} cannot be opened as a video")
    count, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    return count / rate if count > 0 and _plausible(rate) else None


def _open(path: Path) -> cv2.VideoCapture:
    return cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])


def _plausible(rate: float) -> bool:
    return 0.5 <= rate <= 1000.0


def _as_declared(picture: Picture) -> bool:
    return (
        picture.declared > 0
        and picture.count > 0
        and abs(picture.count - picture.declared) <= FRAME_TOLERANCE
    )


def _cut(image: np.ndarray, box: Box | None) -> np.ndarray:
    """The part of an (H, W, 3) picture inside `box`, at least one pixel of it: a view."""
    if box is None:
        return image
    height, width = image.shape[:2]
    top, left = min(round(box[0] * height), height - 1), min(round(box[2] * width), width - 1)
    bottom, right = max(round(box[1] * height), top + 1), max(round(box[3] * width), left + 1)
    return image[top:bottom, left:right]


def _by_opencv(path: Path, wanted: Wanted, box: Box | None, convert: Convert) -> Picture | None:
    """Decode every frame, convert only the wanted ones; None if OpenCV cannot make sense of it."""
    capture = _open(path)
    if not capture.isOpened():
        return None
    declared = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    declared = int(declared) if abs(declared) < 1e9 else 0  # unknown lengths come as huge numbers
    rate = capture.get(cv2.CAP_PROP_FPS)
    if declared <= 0 or not _plausible(rate):
        return None
    indices = wanted(declared, rate)
    images: dict[int, np.ndarray] = {}
    count = 0
    while capture.grab():
        if count in indices:
            good, image = capture.retrieve()
            if not good or image is None:
                return None
            images[count] = convert(_cut(image, box))
        count += 1
    return Picture(declared, count, rate, images)


def _second_opinion(
    path: Path,
    first: Picture | None,
    wanted: Wanted,
    box: Box | None,
    whole: bool,
    convert: Convert,
) -> Picture:
    """PyAV's reading of a file on which OpenCV's count and the header disagree.

    Accepted if nothing failed to decode and the time stamps reach the promised end: then the header
    promised a wrong number of frames (variable rate), but none is missing. Raises MediaError.
    """
    head = path.open("rb").read(16)
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                reason = Reason.no_picture if container.streams else Reason.corrupt
                raise MediaError(reason, f"{path.name} holds no video stream")
            stream = container.streams.video[0]
            stream.codec_context.thread_type = "NONE"
            rate = float(stream.average_rate or stream.guessed_rate or 25)
            declared = stream.frames or (first.declared if first else 0)
            promised = declared / rate
            if declared <= 0 and stream.duration is not None:
                promised = float(stream.duration * stream.time_base)
            errors: list[str] = []
            times = [frame.time for frame in _decode(container, stream, errors)]
    except av.error.FFmpegError as error:
        reason = Reason.corrupt if is_container(head) else Reason.not_media
        raise MediaError(
            reason, f"{path.name} cannot be opened as video: {error.strerror}"
        ) from error
    found = f"{len(times)} of {declared} frames of {path.name} can be decoded"
    if errors:
        raise MediaError(Reason.corrupt, f"{found}: {errors[0]}")
    lost = Reason.corrupt if whole else Reason.truncated
    if not times:
        raise MediaError(lost, found)
    if None in times:
        raise MediaError(Reason.corrupt, f"{found}, but not all have a time stamp")
    if len(times) > 1:
        rate = (len(times) - 1) / (times[-1] - times[0])
    if times[-1] - times[0] + 1 / rate < promised - (FRAME_TOLERANCE + 0.5) / rate:
        raise MediaError(lost, found)

    indices = wanted(len(times), rate)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "NONE"
        images = {
            number: convert(_cut(frame.to_ndarray(format="bgr24"), box))
            for number, frame in enumerate(_decode(container, stream, []))
            if number in indices
        }
    return Picture(declared, len(times), rate, images)


def _decode(
    container: av.container.InputContainer, stream: av.VideoStream, errors: list[str]
) -> Iterator[av.VideoFrame]:
    """The frames that can be decoded; what FFmpeg says of damage is appended to `errors`."""
    packets: Iterable[av.Packet] = container.demux(stream)
    try:
        for packet in packets:
            try:
                for frame in packet.decode():
                    if frame.is_corrupt:
                        errors.append(f"a frame at {frame.time or 0.0:.2f} s is damaged")
                    yield frame
            except av.error.FFmpegError as error:
                errors.append(str(error.strerror))
    except av.error.FFmpegError as error:
        errors.append(str(error.strerror))


def _check_sound_length(path: Path, picture: float) -> None:
    """Raise MediaError if the file has a sound track whose end is not that of the picture.

    Only packets are read, nothing is decoded.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio or not container.streams.video:
                return
            stream = container.streams.audio[0]
            ends = [
                packet.pts + (packet.duration or 0)
                for packet in container.demux(stream)
                if packet.pts is not None
            ]
            if not ends:
                return
            video = container.streams.video[0]
            origin = float((video.start_time or 0) * video.time_base)
            sound = float(max(ends) * stream.time_base) - origin
    except av.error.FFmpegError as error:
        raise MediaError(Reason.corrupt, f"{path.name}: {error.strerror}") from error
    if abs(sound - picture) > DURATION_TOLERANCE:
        raise MediaError(
            Reason.durations_disagree,
            f"the picture of {path.name} lasts {picture:.2f} s, its sound {sound:.2f} s",
        )
