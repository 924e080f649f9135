"""The picture of a film, packet by packet: when its frames are shown, and what is damaged."""

from __future__ import annotations

import math
from operator import sub
from pathlib import Path

import av
import numpy as np

from amid.media import DURATION_TOLERANCE, MediaError, Reason, strict
from amid.media.container import BACKWARDS, damage, run_backwards
from amid.media.conversion import Painter
from amid.media.edit_list import Edit
from amid.media.frame_sampling import Clock, Picker

FRAME_TOLERANCE = 1  # frame counts in headers are often rounded
# MPEG-1 and MPEG-2 know but one frame rate: frames from one to the next; FFmpeg itself is one or
# two off in places.
STEADY, LARGEST_GAP = ("mpeg1video", "mpeg2video"), 4.0
# An interval that strays from the middle one by this share of it makes a variable rate; a field
# that is repeated, as television does for 24 frames a second, is half of one.
UNEVEN = 0.75
SLIDES = 1.0  # seconds from frame to frame, from which on pictures are slides
# Pixels of the frames that wait to be converted: several in a row take half as long as one now and
# then, whose code and numbers decoding has driven out of the processor's cache.
BATCH = 1 << 20


class Disordered(Exception):
    """The stamps of an .avi's frames run backwards: they are those of its chunks."""


class PictureTrack:
    """pickers: what is wanted of the frames; without any only the first frame is decoded, as the
    film's clock begins with it. by_chunk: whether frames are shown in the order and at the times of
    the file's chunks, which is all that an .avi can say. joins_late: whether films of the kind, as
    broadcast, may begin between two key frames. told: whether the file has a table of the frames'
    times, which then are in order, or it is damaged."""

    def __init__(
        self,
        stream: av.VideoStream,
        complaints: strict.Complaints,
        pickers: list[Picker],
        *,
        avi: bool,
        by_chunk: bool,
        joins_late: bool,
        told: bool,
        edit: Edit | None,
    ) -> None:
        self.stream, self.complaints, self.pickers = stream, complaints, pickers
        self.avi, self.by_chunk, self.joins_late = avi, by_chunk, joins_late
        self.told, self.edit = told, edit
        self.decode = strict.decoder(stream)
        self.unit = float(stream.time_base)
        self.lead = _lead(stream, edit)
        self.painter = Painter()
        # frames that are wanted, with their number and who wants them
        self.waiting: list[tuple[int, av.VideoFrame, list[Picker]]] = []
        self.packets = self.empty = self.hidden = self.repeated = 0
        self.key: int | None = None  # stamp of the first key frame
        self.chunks: list[int] = []  # stamps of an .avi's packets
        self.stamps: list[int] = []  # of packets whose frames are not decoded: when they are shown
        self.latest = 0, 0  # stamp and duration of the packet that is shown last of those
        self.times: list[float] = []  # of the frames, in seconds of the file's clock
        self.held: av.VideoFrame | None = None  # the last frame so far
        self.last = -math.inf  # its time
        self.due = -math.inf  # a frame after this is preceded by one that is wanted
        self.lasts = 0.0  # seconds of the last frame
        self.until = 0.0  # where the last repetition of a frame ends, on the clock of the file
        self.reached = 0.0  # where the frames themselves end, in seconds of the film: `clock`
        self.interval = 0.0  # seconds from frame to frame: `clock`
        self.disordered = 0.0  # by how many seconds stamps run backwards, at most

    # ------------------------------------------------------------------ packets and frames

    def take(self, packet: av.Packet) -> Exception | None:
        """The last packet of a stream is empty. Gives back what is wrong with a packet, beside what
        is in the log. Raises Disordered."""
        self.packets += 1
        if packet.size:
            hidden = packet.is_discard
            if hidden:
                self.hidden += 1
            if self.avi:
                self.chunks.append(packet.dts)
            elif self.key is None and packet.is_keyframe:
                self.key = packet.pts
            if not self.pickers:
                if not hidden:
                    self._stamp(packet)
                if self.times:
                    return None
        else:
            self.empty += 1
            if packet.dts is not None or packet.pts is not None:
                self._repeat(packet)
                return None
            if not self.pickers and self.times:
                return None
        error = None
        try:
            for frame in self.decode(packet):
                pts = frame.pts
                if pts is None or self.by_chunk:
                    time = self._time(len(self.times))
                else:
                    time = pts * self.unit + self.lead
                if frame.is_corrupt:
                    error = ValueError("a damaged frame")
                    if self.leaves_out(packet):
                        continue
                if not self.last <= time <= self.due:
                    self._mark(frame, time)
                self.times.append(time)
                self.last, self.held = time, frame
        except av.error.FFmpegError as caught:
            error = strict.damage(caught, packet)
        if error is not None and self.leaves_out(packet):
            self.hidden += 1
            return None
        return error

    def _stamp(self, packet: av.Packet) -> None:
        """Notes when a frame that is not decoded is shown."""
        stamp = packet.dts if packet.pts is None or self.avi else packet.pts
        if stamp is not None:
            if not self.stamps or stamp > self.latest[0]:
                self.latest = stamp, packet.duration or 0
            self.stamps.append(stamp)

    def _repeat(self, packet: av.Packet) -> None:
        """An empty packet: the frame before is shown on."""
        self.repeated += 1
        start = packet.dts if packet.pts is None else packet.pts
        self.until = (start + (packet.duration or 0)) * self.unit

    def leaves_out(self, packet: av.Packet) -> bool:
        """Whether a packet is in want of frames before the film's beginning, and players leave it
        out: one that is shown before the first key frame, where a film was cut at that."""
        if self.key is None:
            return self.joins_late and not self.times
        own = packet.stream is self.stream
        return own and packet.pts is not None and packet.pts < self.key

    def _mark(self, frame: av.VideoFrame, time: float) -> None:
        """Of a frame that is the first, whose stamp runs backwards, or before which one is due."""
        if time < self.last:
            if self.avi and not self.by_chunk:
                raise Disordered
            self.disordered = max(self.disordered, self.last - time)
        if not self.times:
            self.painter.begin(frame)
        elif time > self.due:
            self._pick(time)

    def _time(self, number: int) -> float:
        """Of a frame without a stamp of its own."""
        if self.by_chunk and number < len(self.chunks):
            return self.chunks[number] * self.unit
        rate = self.stream.average_rate or self.stream.guessed_rate or 25
        return self.times[-1] + float(1 / rate) if self.times else 0.0

    def _pick(self, until: float) -> None:
        """The newest frame is shown until then."""
        number, frame, origin = len(self.times) - 1, self.held, self.times[0] - self.lead
        start, end = self.times[number] - origin, until - origin
        pickers = [picker for picker in self.pickers if picker.wants(number, start, end)]
        if pickers:
            self.waiting.append((number, frame, pickers))
            if len(self.waiting) * frame.width * frame.height >= BATCH:
                self._convert()
        self.due = origin + min([picker.due for picker in self.pickers], default=math.inf)

    def _convert(self) -> None:
        """Gives the frames that wait to those who want them, as pictures."""
        waiting, self.waiting = self.waiting, []
        for number, frame, pickers in waiting:
            try:
                image = self.painter.paint(frame)
            except av.error.MemoryError as error:
                raise MemoryError(f"the picture of frame {number}") from error
            except av.error.FFmpegError as error:
                self.complaints.listen(0, error)  # wherever it is, it is no end that was cut off
                return
            for picker in pickers:
                picker.keep(number, image)

    def finish(self) -> None:
        """After the last packet."""
        if self.held is not None:
            self._pick(math.inf)
            self.lasts = (self.held.duration or 0) * self.unit
            self.held = None
        self._convert()
        self.painter.end()

    # ------------------------------------------------------------------ the clock

    @property
    def origin(self) -> float:
        """Where the film begins, in seconds of the file's clock: with the first frame that is shown
        or, if an edit begins inside a frame, with that."""
        if not self.times:
            return (self.stream.start_time or 0) * self.unit
        return self.times[0] - self.lead

    @property
    def sound_origin(self) -> float:
        """The same for the sound, whose stamps an .avi counts from its first chunk on: FFmpeg puts
        frames that wait for others later, and the sound nowhere."""
        return self.chunks[0] * self.unit if self.avi and self.chunks else self.origin

    def held_first(self, least: float) -> float:
        """Seconds by which an .avi shows its first frame longer than others, by empty chunks; 0 if
        fewer of them would do for `least`."""
        if len(self.chunks) < 2 or (self.stream.codec_context.has_b_frames and not self.by_chunk):
            return 0.0  # FFmpeg's own stamps put the first frame behind them
        steps = sorted(map(sub, self.chunks[1:], self.chunks))
        usual = (steps[len(steps) // 2] + steps[(len(steps) - 1) // 2]) / 2  # the median
        longer = (self.chunks[1] - self.chunks[0] - usual) * self.unit
        return longer if longer < least + usual * self.unit else 0.0

    def clock(self, sound_end: float | None) -> Clock | None:
        """None for a film without frames. sound_end: seconds of the film. Frames that were not
        decoded are taken to be shown when their packets say so."""
        times = np.array(self.times)
        lasts = self.lasts
        if not self.pickers:
            times = np.sort(np.array(self.stamps)) * self.unit + self.lead
            lasts = self.latest[1] * self.unit
        elif self.disordered:
            times = np.sort(times)
        if not len(times):
            return None
        origin = times[0] - self.lead
        times -= origin
        interval, even = _intervals(times)
        self.interval = interval
        if interval and even and not self.repeated:
            lasts = interval
        elif not lasts:
            lasts = interval or float(1 / (self.stream.average_rate or 25))
        end = self.reached = float(max(times[-1] + lasts, self.until - origin))
        if self.edit is not None and self.edit.duration > times[-1]:
            near = abs(self.edit.duration - end) <= 1.5 * lasts
            end = self.edit.duration if near or not even else end
        stays = not even or interval >= SLIDES
        if sound_end is not None and sound_end > end + DURATION_TOLERANCE and stays:
            end = sound_end  # the last picture is shown to the end
        return Clock(times, float(end))

    # ------------------------------------------------------------------ damage

    def check(self, path: Path, whole: bool, clock: Clock | None, promised: float) -> None:
        """Raises MediaError for damage. clock: from `clock`. promised: seconds of picture by the
        header, 0 for none."""
        found = self.complaints.found
        if found:
            # Damage, unless it is at the last packet, of a file of unknown size: that is just cut.
            first, words = found[0]
            cut = not whole and first >= self.packets - 1
            raise MediaError(
                damage(path, Reason.truncated if cut else Reason.corrupt, whole),
                f"{self._count(path)}: {words}",
            )
        if promised <= 0 and self.empty == self.packets:
            reason = damage(path, Reason.too_few_frames, whole)
            raise MediaError(reason, f"{path.name} has no frame")
        if clock is None:
            raise self._lost(path, whole)
        if self.disordered > (0.0 if self.told else BACKWARDS):
            raise run_backwards(path, self.disordered)
        interval = self.interval
        if self.stream.codec_context.name in STEADY and clock.count > 1:
            gaps = np.diff(clock.times) / interval  # frames
            if gaps.max() > LARGEST_GAP:
                raise MediaError(
                    damage(path, Reason.corrupt, whole),
                    f"{clock.count} frames of {path.name} can be decoded, but about "
                    f"{round(gaps.max()) - 1} are missing at "
                    f"{clock.times[int(gaps.argmax())]:.2f} s",
                )
        there = clock.count + self.hidden + self.repeated
        if abs(there - self.stream.frames) > FRAME_TOLERANCE and (
            self.reached < promised - (FRAME_TOLERANCE + 0.5) * interval
        ):
            raise self._lost(path, whole)
        if clock.count < 2:
            raise MediaError(Reason.too_few_frames, f"{path.name} has a single frame")

    def _lost(self, path: Path, whole: bool) -> MediaError:
        reason = damage(path, Reason.corrupt if whole else Reason.truncated, whole)
        return MediaError(reason, self._count(path))

    def _count(self, path: Path) -> str:
        there = len(self.times) + self.hidden
        return f"{there} of {self.stream.frames} frames of {path.name} can be decoded"


def _lead(stream: av.VideoStream, edit: Edit | None) -> float:
    """Seconds by which FFmpeg shows frames too early: from an edit's beginning to the first frame
    in it."""
    if edit is None or stream.start_time is None or not edit.lead:
        return 0.0
    at_once = abs(float(stream.start_time * stream.time_base) - edit.delay) < edit.lead / 2
    return edit.lead if at_once else 0.0


def _intervals(times: np.ndarray) -> tuple[float, bool]:
    """The usual time from frame to frame, 0 for a single one, and whether all are about that."""
    if len(times) < 2:
        return 0.0, True
    steps = times[1:] - times[:-1]
    middle = len(steps) // 2
    interval = float(np.partition(steps, middle)[middle])
    return interval, bool((np.abs(steps - interval) <= UNEVEN * interval).all())
