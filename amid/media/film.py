"""Reads a file of picture and sound, in one pass for all that is wanted of it.

PyAV (FFmpeg) decodes every frame and sample that is asked for, with its checks on, and each is
placed by its time stamp on one clock a file. The clock begins with the first picture that is shown,
or with the sound where there is no picture. What is damaged is refused, whatever FFmpeg would make
of it: all frames must be decodable, as many as were promised or up to the promised end, and picture
and sound must last equally long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.stream import Discard, Disposition

from amid.media import (
    DURATION_TOLERANCE,
    Box,
    MediaError,
    Pictures,
    Reading,
    Reason,
    Sound,
    strict,
)
from amid.media.audio import STRAY, SoundTrack, cut_spans, finished
from amid.media.container import check, damage, tells_length, unopened
from amid.media.edit_list import video_edit
from amid.media.frame_sampling import Clock, Picker, wanted
from amid.media.picture import Disordered, PictureTrack

Request = Pictures | Sound
PASSES = 5  # one for each thing that is found out on the way: the fields of Known
WAITING = 2  # frames by which coding runs ahead of showing, at most, where B-frames refer to others
H264 = ("h264", "hevc")  # in an .avi, their frames wait for others more often than not


class Known(NamedTuple):
    """What a pass over a film has found out for another one.

    by_chunk: that the stamps of an .avi's frames run backwards. duration: about how long the
    picture lasts. numbers: of the frames that each request's parts want. channel: of the sound, to
    be heard alone. headers: whether a header's word for the end of a sound that nobody wants is
    enough.
    """

    by_chunk: bool = False
    duration: float | None = None
    numbers: dict[tuple[int, Box | None], set[int]] | None = None
    channel: int | None = None
    headers: bool = True


def read(path: Path, requests: Sequence[Request], *, compare: bool = True) -> list[Reading]:
    """The answer to each request; where there is none, the same error for each of its spans.

    compare: whether picture and sound must last equally long, as they must in a data set. Without,
    the length of what is not asked for does not matter.
    """
    try:
        whole = check(path)
        known = Known()
        for _ in range(PASSES):  # the first one is enough but for odd films
            with strict.opened(path) as (container, log):
                film = _Film(path, whole, container, log, requests, known, compare)
                answer = film.decode()
            if not isinstance(answer, Known):
                return answer
            known = answer
        failure = MediaError(Reason.corrupt, f"{path.name} is decoded in another way each time")
    except av.error.FFmpegError as error:
        kinds = {"video" if isinstance(r, Pictures) else "sound" for r in requests}
        failure = MediaError(
            unopened(path, whole),
            f"{path.name} cannot be opened as {' and '.join(sorted(kinds))}: {error.strerror}",
        )
    except MediaError as error:
        failure = error
    return [_failed(request, failure) for request in requests]


def read_one(path: Path, request: Request) -> list[np.ndarray | MediaError]:
    """The clips of one request. Raises MediaError where the whole file is bad."""
    (reading,) = read(path, [request])
    if reading.seconds is None and reading.clips:
        raise reading.clips[0]
    return reading.clips


def _failed(request: Request, error: MediaError) -> Reading:
    return Reading([error] * len(request.spans))


class _Film:
    """One pass over an open film."""

    def __init__(
        self,
        path: Path,
        whole: bool,
        container: av.container.InputContainer,
        log: list[tuple[int, str, str]],
        requests: Sequence[Request],
        known: Known,
        compare: bool,
    ) -> None:
        self.compare = compare
        self.path, self.whole, self.container, self.log = path, whole, container, log
        self.requests, self.known = requests, known
        self.kinds = container.format.name.split(",")
        writer = container.metadata.get("software", "")
        self.ffmpeg_avi = "avi" in self.kinds and writer.startswith("Lavf")
        videos = [
            s for s in container.streams.video if Disposition.attached_pic not in s.disposition
        ]
        video = videos[0] if videos else None
        sound = container.streams.audio[0] if container.streams.audio else None
        self.errors = {
            Pictures: self._absent(video, "picture", "video stream", Reason.no_picture),
            Sound: self._absent(sound, "sound", "sound", Reason.no_sound),
        }
        self.pickers: dict[tuple[int, Box | None], Picker] = {}
        self.numbers: dict[tuple[int, Box | None], list[np.ndarray | MediaError]] = {}
        self.disagree = False  # whether picture and sound end at different times
        self.picture: PictureTrack | None = None
        self.sound: SoundTrack | None = None
        coded = [s for s in (video, sound) if s is not None and s.codec_context is not None]
        names = [stream.codec_context.name for stream in coded]
        if video in coded:
            heard = strict.Complaints(log, names[1:])
            self.picture = self._picture(video, heard)
        if sound in coded:
            self.sound = SoundTrack(
                sound,
                strict.Complaints(log, names[:-1]),
                wanted=any(isinstance(request, Sound) for request in requests),
                stamped="avi" not in self.kinds,
                channel=known.channel,
                by_header=known.headers and bool({"avi", "mov"} & set(self.kinds)),
            )

    def _absent(
        self, stream: av.stream.Stream | None, what: str, named: str, reason: Reason
    ) -> MediaError | None:
        """What is wrong with a film that lacks a stream, or has one that nobody can decode."""
        name = self.path.name
        if stream is None:
            if not self.container.streams:
                reason = damage(self.path, Reason.corrupt, self.whole)
            return MediaError(reason, f"{name} holds no {named}")
        if stream.codec_context is None:
            return MediaError(Reason.corrupt, f"the {what} of {name} has no known codec")
        return None

    def _picture(self, stream: av.VideoStream, heard: strict.Complaints) -> PictureTrack:
        edit = video_edit(self.path) if "mov" in self.kinds else None
        avi = "avi" in self.kinds
        by_chunk = avi and (self.known.by_chunk or stream.codec_context.name in H264)
        asked = [(n, r) for n, r in enumerate(self.requests) if isinstance(r, Pictures)]
        duration = self.known.duration
        if duration is None and asked and self.known.numbers is None:
            if edit is not None:
                duration = edit.duration
            elif any(_open_ended(request) for _, request in asked):
                duration = self._expected(stream)
        for number, request in asked:
            for part in dict.fromkeys(span[2] for span in request.spans):
                spans = [span[:2] for span in request.spans if span[2] == part]
                numbers = self.known.numbers and self.known.numbers[number, part]
                self.pickers[number, part] = Picker(request, part, spans, duration, numbers)
        return PictureTrack(
            stream,
            heard,
            list(self.pickers.values()),
            avi=avi,
            by_chunk=by_chunk,
            joins_late="mpegts" in self.kinds,
            told="mov" in self.kinds,
            edit=edit,
        )

    def _expected(self, stream: av.VideoStream) -> float | None:
        """Seconds of picture, from the header where one can trust it, else from all packets."""
        if stream.duration is not None and {"avi", "mov"} & set(self.kinds):
            return float(stream.duration * stream.time_base)
        tag = stream.metadata.get("DURATION", "")  # of Matroska: where the stream ends
        if tag.count(":") == 2:
            hours, minutes, seconds = (float(part) for part in tag.split(":"))
            start = float((stream.start_time or 0) * stream.time_base)
            return 3600 * hours + 60 * minutes + seconds - start
        first = last = None
        with av.open(str(self.path), metadata_errors="replace") as container:
            for packet in container.demux(container.streams[stream.index]):
                stamp = packet.dts if packet.pts is None else packet.pts
                if stamp is not None and packet.size and not packet.is_discard:
                    first = stamp if first is None else min(first, stamp)
                    end = stamp + (packet.duration or 0)
                    last = end if last is None else max(last, end)
        return None if first is None else float((last - first) * stream.time_base)

    # ------------------------------------------------------------------ the pass

    def decode(self) -> list[Reading] | Known:
        """The answers, or what another pass has to know."""
        try:
            self._demux()
        except Disordered:
            return self.known._replace(by_chunk=True)
        if self.sound is not None and self.sound.wanted and self.known.channel is None:
            channel = self.sound.signal.loudest()
            if channel is not None:
                return self.known._replace(channel=channel)
        clock = self._check()
        if self.sound is not None and self.sound.by_header and self.disagree:
            return self.known._replace(headers=False)
        if clock is not None and self.errors[Pictures] is None:
            self.numbers = {key: self._wanted(key, clock) for key in self.pickers}
            needed = {
                key: {int(n) for those in found if not isinstance(those, MediaError) for n in those}
                for key, found in self.numbers.items()
            }
            if any(needed[key] - picker.images.keys() for key, picker in self.pickers.items()):
                return self.known._replace(numbers=needed)
        for key, picker in self.pickers.items():
            picker.expect(self.numbers.get(key, []))
        return [self._answer(n, request, clock) for n, request in enumerate(self.requests)]

    def _wanted(self, key: tuple[int, Box | None], clock: Clock) -> list[np.ndarray | MediaError]:
        """The numbers of the frames of each span of a request that has this part."""
        request = self.requests[key[0]]
        return wanted([span[:2] for span in request.spans if span[2] == key[1]], request, clock)

    def _demux(self) -> None:
        tracks = [track for track in (self.picture, self.sound) if track is not None]
        if self.sound is not None and self.sound.by_header:
            tracks.remove(self.sound)
        if not tracks:  # of an empty list the demuxer makes all streams
            return
        for stream in self.container.streams:
            if all(stream is not track.stream for track in tracks):
                stream.discard = Discard.all  # read past it
        log, heard, picture, sound = self.log, 0, self.picture, self.sound
        video = None if picture is None else picture.stream
        try:
            for packet in self.container.demux([track.stream for track in tracks]):
                # not by stream_index, which is 0 for the last, empty packet of any stream
                track = picture if packet.stream is video else sound
                error = track.take(packet)
                if error is not None or len(log) != heard:
                    # The other stream's decoder is not heard, the demuxer by both.
                    for one in tracks:
                        if one.leaves_out(packet):
                            one.complaints.skip()
                        one.complaints.listen(one.packets, error if one is track else None)
                    heard = len(log)
        except av.error.FFmpegError as error:
            for track in tracks:
                track.complaints.listen(track.packets, error)
        for track in tracks:
            track.finish()
        if len(log) != heard:
            for track in tracks:
                track.complaints.listen(track.packets)

    def _check(self) -> Clock | None:
        """Notes what is wrong with the picture and with the sound; the picture's clock."""
        clock, end = None, None if self.sound is None else self.sound.end
        if self.picture is not None:
            clock = self.picture.clock(None if end is None else end - self.picture.sound_origin)
            if self.pickers:
                try:
                    self.picture.check(self.path, self.whole, clock, self._promised())
                except MediaError as error:
                    self.errors[Pictures] = error
        if self.sound is not None and self.sound.wanted:
            try:
                self.sound.check(self.path, self.whole, self._declared())
            except MediaError as error:
                self.errors[Sound] = error
        if clock is not None and end is not None and self.compare:
            self._compare(clock, end - self._sound_origin())
        return clock

    def _sound_origin(self) -> float:
        """Where the film begins, in seconds of the sound's clock.

        FFmpeg's muxer knows that a coder begins with silence, but an .avi has no place for it: to
        have the sound begin that much before the picture, it shows the first frame longer, by
        whole frames, unless frames that wait for others make the picture begin early enough.
        """
        origin = self.picture.sound_origin
        if self.ffmpeg_avi:
            delay = self.sound.coder_delay
            origin += delay - self.picture.held_first(delay)
        return origin

    def _promised(self) -> float:
        """Seconds of picture that the header promises, 0 where it does not."""
        stream = self.picture.stream
        if self.picture.edit is not None:
            return self.picture.edit.duration
        if "matroska" in self.kinds:  # what it tells is the whole file's, that of its sound
            return 0.0
        return 0.0 if stream.duration is None else float(stream.duration * stream.time_base)

    def _declared(self) -> float | None:
        """Seconds of sound that the header promises, None where it does not."""
        stream = self.sound.stream
        if {"mp3", "aac"} & set(self.kinds) and not tells_length(self.path):
            return None
        if stream.duration is not None:
            seconds = float(stream.duration * stream.time_base)
            if self.ffmpeg_avi and self.picture is not None:
                # it counts empty chunks, for the time that the picture begins earlier
                picture = self.picture.stream
                if picture.codec_context.has_b_frames and picture.average_rate:
                    seconds -= WAITING / float(picture.average_rate)
            return seconds
        if self.picture is None and self.container.duration is not None:
            return self.container.duration / av.time_base
        return None

    def _compare(self, clock: Clock, end: float) -> None:
        """Picture and sound, which ends at `end` seconds, have to last equally long."""
        self.disagree = abs(end - clock.duration) > DURATION_TOLERANCE
        if self.disagree:
            error = MediaError(
                Reason.durations_disagree,
                f"the picture of {self.path.name} lasts {clock.duration:.2f} s, its sound "
                f"{end:.2f} s",
            )
            for kind, earlier in self.errors.items():
                self.errors[kind] = earlier or error

    # ------------------------------------------------------------------ the answers

    def _answer(self, number: int, request: Request, clock: Clock | None) -> Reading:
        error = self.errors[type(request)]
        if error is not None:
            return _failed(request, error)
        try:
            if isinstance(request, Sound):
                return self._hear(request)
            return self._see(number, request, clock)
        except MediaError as error:
            return _failed(request, error)

    def _see(self, number: int, request: Pictures, clock: Clock) -> Reading:
        numbers = {key: iter(found) for key, found in self.numbers.items() if key[0] == number}
        clips = [
            self.pickers[number, part].clip(next(numbers[number, part]))
            for *_, part in request.spans
        ]
        frame = clock.duration / clock.count
        clamped = sum(
            end > clock.duration + frame and not isinstance(clip, MediaError)
            for (_, end, _), clip in zip(request.spans, clips, strict=True)
        )
        return Reading(clips, clock.duration, _notes(clamped_spans=clamped))

    def _hear(self, request: Sound) -> Reading:
        signal = self.sound.signal
        origin = signal.begin or 0.0 if self.picture is None else self._sound_origin()
        name = self.path.name
        sound = finished(signal.samples(origin), signal.rate, request.rate, name)
        clips, clamped = cut_spans(sound, request, name)
        notes = _notes(
            clamped_spans=clamped,
            sound_gaps=sum(gap > origin + STRAY for gap in signal.gaps),
            sound_overlaps=signal.overlaps,
            one_channel=self.known.channel is not None,
        )
        return Reading(clips, len(sound) / request.rate, notes)


def _open_ended(request: Pictures) -> bool:
    return any(math.isnan(end) for _, end, _ in request.spans)


def _notes(**counts: int) -> dict[str, int]:
    return {name: int(count) for name, count in counts.items() if count}
