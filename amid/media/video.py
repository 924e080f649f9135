"""Frames of a clip, by OpenCV, once PyAV has found nothing wrong with it.

OpenCV reports no error on damaged files: it returns fewer frames than the header promises, or none.
A clip is accepted only if every frame can be decoded by FFmpeg with its checks on, as many could be
as were declared (give or take one), or their time stamps reach the promised end, and picture and
sound last equally long, where one file holds both.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np

from amid.media import MediaError, Reason, span_error, strict
from amid.media.container import check, damage, unopened

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # silent; read when a file is first opened
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
cv2.setNumThreads(1)  # files are read in parallel, and one thread gives the same bits anywhere

DURATION_TOLERANCE = 0.25  # seconds that picture and sound of one clip may differ
FRAME_TOLERANCE = 1  # frame counts in headers are often rounded

STEADY = ("mpeg1video", "mpeg2video")
LARGEST_GAP = 4.0  # frames from one to the next: FFmpeg itself is one or two off in places

Box = tuple[float, float, float, float]
Convert = Callable[[np.ndarray], np.ndarray]


class Clock(NamedTuple):
    """When the frames of a clip are shown."""

    count: int
    rate: float  # frames a second, on the average
    times: np.ndarray | None = None  # (count,) seconds from the first frame; None: evenly

    @property
    def duration(self) -> float:
        return self.count / self.rate

    def frames_at(self, seconds: np.ndarray) -> np.ndarray:
        """Numbers (N,) of the frames that are shown at `seconds` (N,)."""
        if self.times is None:
            numbers = np.floor(seconds * self.rate + 1e-6).astype(np.int64)
        else:
            numbers = np.searchsorted(self.times, seconds + 1e-6, side="right") - 1
        return np.clip(numbers, 0, self.count - 1)

    def frames_between(self, start: float, end: float) -> np.ndarray:
        """Numbers of the frames that begin in [start, end) seconds, at least one."""
        times = np.arange(self.count) / self.rate if self.times is None else self.times
        first, last = np.searchsorted(times, (start - 1e-6, end - 1e-6))
        first = min(first, self.count - 1)
        return np.arange(first, max(last, first + 1))


Wanted = Callable[[Clock], set[int]]


class Film(NamedTuple):
    """What PyAV's strict look at a file found."""

    declared: int  # frames the header promises, 0 if it promises none
    promised: float  # seconds the header promises, 0 if none
    times: list[float | None]  # of the frames that can be decoded, as they are shown
    turned: int  # quarter turns, to the left, by which they are to be shown
    sound: float | None  # where the sound ends, in seconds from the picture's start
    steady: bool  # whether its codec knows but one frame rate


class Picture(NamedTuple):
    """What OpenCV's pass over a file gave."""

    declared: int  # frames the header promises
    clock: Clock
    images: dict[int, np.ndarray]  # frame number -> (H, W) uint8, or what `convert` made of it


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of an (H, W, 3) picture, blue first."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def colour(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8, red first, of an (H, W, 3) picture, blue first."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def sample_indices(start: float, end: float, clock: Clock, frames: int | None) -> np.ndarray:
    """Numbers of `frames` frames evenly over [start, end) seconds of a clip, (frames,).

    The span is cut into `frames` equal parts; each gives the frame shown at its middle. Short spans
    repeat frames. None = all frames that begin in the span, at least one. NaN stands for the start
    and the end of the clip.
    """
    start = 0.0 if math.isnan(start) else start
    end = clock.duration if math.isnan(end) else end
    if frames is None:
        return clock.frames_between(start, end)
    middles = start + (np.arange(frames) + 0.5) / frames * (end - start)  # (frames,)
    return clock.frames_at(middles)


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

    Spans count from the first frame; NaN stands for the clip's start or end. Frames are taken by
    the times at which they are shown, upright where the file says how they are turned. `box` =
    (top, bottom, left, right) in shares of the picture cuts every frame; `margin` widens spans by
    so many seconds on each side, as far as the clip goes. A span outside the clip gives a
    MediaError in its place. Raises MediaError for a bad file.
    """
    whole = check(path)

    def wanted(clock: Clock) -> set[int]:
        return {
            int(index)
            for start, end in spans
            if span_error(start, end, clock.duration, 1 / clock.rate) is None
            for index in sample_indices(*widen(start, end, clock.duration), clock, frames)
        }

    def widen(start: float, end: float, duration: float) -> tuple[float, float]:
        return max(start - margin, 0.0), min(end + margin, duration)  # NaN stays NaN

    film = _inspect(path, whole)
    picture = _by_opencv(path, film, wanted, box, convert)
    if picture is None or abs(picture.clock.count - picture.declared) > FRAME_TOLERANCE:
        clock = _promised(path, film, whole)
        images = _by_pyav(path, film, wanted(clock), box, convert)
    elif not picture.images.keys() >= wanted(picture.clock):
        # The header was one off, so other frames are in the middle of the parts: read those.
        clock = picture.clock
        again = _by_opencv(path, film, lambda _: wanted(clock), box, convert)
        if again is None:
            raise MediaError(Reason.corrupt, f"{path.name} could be opened only once")
        images = again.images
    else:
        clock, images = picture.clock, picture.images
    if clock.count < 2:
        raise MediaError(Reason.too_few_frames, f"{path.name} has a single frame")
    if film.sound is not None and abs(film.sound - clock.duration) > DURATION_TOLERANCE:
        raise MediaError(
            Reason.durations_disagree,
            f"the picture of {path.name} lasts {clock.duration:.2f} s, its sound "
            f"{film.sound:.2f} s",
        )

    result: list[np.ndarray | MediaError] = []
    for start, end in spans:
        error = span_error(start, end, clock.duration, 1 / clock.rate)
        if error is not None:
            result.append(error)
            continue
        indices = sample_indices(*widen(start, end, clock.duration), clock, frames)
        result.append(np.stack([images[int(i)] for i in indices]))  # (frames, H, W, ...)
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


def _cut(image: np.ndarray, box: Box | None) -> np.ndarray:
    """The part of an (H, W, 3) picture inside `box`, at least one pixel of it: a view."""
    if box is None:
        return image
    height, width = image.shape[:2]
    top, left = min(round(box[0] * height), height - 1), min(round(box[2] * width), width - 1)
    bottom, right = max(round(box[1] * height), top + 1), max(round(box[3] * width), left + 1)
    return image[top:bottom, left:right]


def _by_opencv(
    path: Path, film: Film, wanted: Wanted, box: Box | None, convert: Convert
) -> Picture | None:
    """Decode every frame, convert only the wanted ones; None if OpenCV cannot make sense of it."""
    capture = _open(path)
    if not capture.isOpened():
        return None
    declared = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    declared = int(declared) if abs(declared) < 1e9 else 0  # unknown lengths come as huge numbers
    rate = capture.get(cv2.CAP_PROP_FPS)
    if declared <= 0 or not _plausible(rate):
        return None
    indices = wanted(_clock(film, declared, rate))
    images: dict[int, np.ndarray] = {}
    count = 0
    try:
        while capture.grab():
            if count in indices:
                good, image = capture.retrieve()
                if not good or image is None:
                    return None
                images[count] = convert(_cut(image, box))
            count += 1
    except cv2.error:
        return None
    return Picture(declared, _clock(film, count, rate), images) if count else None


def _clock(film: Film, count: int, rate: float) -> Clock:
    """Even, at `rate`, unless the time stamps of as many frames stray from that by half a frame."""
    if film.steady or None in film.times or len(film.times) != count or count < 2:
        return Clock(count, rate)
    times = np.array(film.times) - film.times[0]  # (count,)
    if (np.diff(times) <= 0).any() or (np.abs(times * rate - np.arange(count)) < 0.5).all():
        return Clock(count, rate)
    return Clock(count, (count - 1) / times[-1], times)


def _inspect(path: Path, whole: bool) -> Film:
    """PyAV's strict look at all frames. Raises MediaError if it finds damage."""
    times: list[float | None] = []
    ends: list[int] = []  # of the packets of sound, in units of its time base
    turned = number = size = 0
    try:
        with strict.opened(path) as (container, complaints):
            if not container.streams.video:
                reason = Reason.no_picture if container.streams else Reason.corrupt
                raise MediaError(damage(path, reason, whole), f"{path.name} holds no video stream")
            video = container.streams.video[0]
            if video.codec_context is None:
                raise MediaError(Reason.corrupt, f"the picture of {path.name} has no known codec")
            sound = container.streams.audio[0] if container.streams.audio else None
            declared, rate = video.frames, float(video.average_rate or video.guessed_rate or 25)
            promised = declared / rate
            if not declared and video.duration is not None:
                promised = float(video.duration * video.time_base)
            try:
                for packet in container.demux(video, *([sound] if sound else [])):
                    if packet.stream.type == "audio":
                        if packet.pts is not None:
                            ends.append(packet.pts + (packet.duration or 0))
                        continue
                    number += 1
                    size += packet.size
                    complaints.listen(number)
                    try:
                        for frame in strict.decoded(packet):
                            times.append(frame.time)
                            turned = round(frame.rotation / 90) % 4
                            if frame.is_corrupt:
                                complaints.listen(number, ValueError("a damaged frame"))
                        complaints.listen(number)
                    except av.error.FFmpegError as error:
                        complaints.listen(number, error)
            except av.error.FFmpegError as error:
                complaints.listen(number, error)
            steady = video.codec_context.name in STEADY
            if "matroska" in container.format.name and not size:
                promised = 0.0  # what it has told is the whole file's, that of its sound
            origin = float((video.start_time or 0) * video.time_base)
            end = float(max(ends) * sound.time_base) - origin if ends else None
    except av.error.FFmpegError as error:
        raise MediaError(
            unopened(path, whole), f"{path.name} cannot be opened as video: {error.strerror}"
        ) from error
    film = Film(declared, promised, times, turned, end, steady)
    if complaints.found:
        # Damage, unless it is at the last packet, of a file of unknown size: that is just cut.
        first, words = complaints.found[0]
        cut = not whole and first >= number - 1
        raise MediaError(
            damage(path, Reason.truncated if cut else Reason.corrupt, whole),
            f"{_found(path, film)}: {words}",
        )
    if promised <= 0 and not size:
        reason = damage(path, Reason.too_few_frames, whole)
        raise MediaError(reason, f"{path.name} has no frame")
    if film.steady and None not in times and len(times) > 1:
        gaps = np.diff(times) * rate  # frames
        if gaps.max() > LARGEST_GAP:
            raise MediaError(
                damage(path, Reason.corrupt, whole),
                f"{len(times)} frames of {path.name} can be decoded, but about "
                f"{round(gaps.max()) - 1} are missing at {times[int(gaps.argmax())]:.2f} s",
            )
    return film


def _promised(path: Path, film: Film, whole: bool) -> Clock:
    """The clock of a film whose header promised another number of frames.

    Accepted if the time stamps reach the promised end: then the number is wrong (variable rate),
    but no frame is missing. Raises MediaError.
    """
    lost = damage(path, Reason.corrupt if whole else Reason.truncated, whole)
    times = film.times
    if not times:
        raise MediaError(lost, _found(path, film))
    if None in times:
        raise MediaError(Reason.corrupt, f"{_found(path, film)}, but not all have a time stamp")
    seconds = times[-1] - times[0]
    rate = (len(times) - 1) / seconds if seconds > 0 else 25.0
    if seconds + 1 / rate < film.promised - (FRAME_TOLERANCE + 0.5) / rate:
        raise MediaError(lost, _found(path, film))
    return _clock(film, len(times), rate)


def _found(path: Path, film: Film) -> str:
    return f"{len(film.times)} of {film.declared} frames of {path.name} can be decoded"


def _by_pyav(
    path: Path, film: Film, wanted: set[int], box: Box | None, convert: Convert
) -> dict[int, np.ndarray]:
    """The wanted frames of a file that `_inspect` found whole; as OpenCV does, turned upright."""
    with strict.opened(path) as (container, _):
        frames = enumerate(container.decode(container.streams.video[0]))
        images = {}
        for number, frame in frames:
            if number in wanted:
                image = np.rot90(frame.to_ndarray(format="bgr24"), film.turned)
                images[number] = convert(_cut(np.ascontiguousarray(image), box))
        return images
