"""Small and valid films of every awkward kind, each with what a correct player would show."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soundfile

SIZE = (160, 192)  # rows, columns
RATE = 25
CLICK = 0.004  # seconds
X264 = {
    "preset": "veryfast",
    "bf": "2",
    "g": "50",
    "x264-params": "mbtree=0:scenecut=0:b-adapt=0:open-gop=0:keyint=50:bframes=2",
}
NO_B = X264 | {"bf": "0", "x264-params": "mbtree=0:scenecut=0:keyint=50:bframes=0"}
GOOD = {"qmin": "2", "qmax": "6", "g": "25", "sc_threshold": "1000000000"}  # older than H.264
XVID_B = GOOD | {"bf": "2", "flags": "+bitexact+cgop"}
VP8 = {"deadline": "realtime", "cpu-used": "8", "g": "50", "b": "400000"}
MPEG = {"g": "15", "bf": "2", "qmin": "2", "qmax": "6"}


class Truth(NamedTuple):
    """What is true of a film; every time is in seconds after the first shown frame's start."""

    path: Path
    frames: int  # that are shown
    times: tuple[float, ...]  # at which each of them starts, in the order of display
    seconds: float  # from the first one's start to the last one's end; NaN: the file does not say
    flashes: tuple[float, ...]  # starts of the bright frames
    clicks: tuple[float, ...]  # starts of the clicks in the sound
    numbers: tuple[int, ...]  # drawn onto each shown frame: `number_on` reads it
    sound: tuple[float, float] | None = None  # from where to where; coders add some 30 ms to that
    gaps: tuple[tuple[float, float], ...] = ()  # spans inside it without any sound
    slack: float = 0.0005  # by which the file's own stamps are rounded


class Signal(NamedTuple):
    """What is true of a file of sound."""

    path: Path
    samples: np.ndarray  # (channels, samples) float
    rate: int
    decibels: float = float("inf")  # by which its samples are above what coding changed of them
    late: int = 0  # samples of the coder's delay before them, of which the file says nothing


Packets = list[av.Packet]
SIGNED = {"fflags": "-bitexact"}  # the muxer puts its name and version into the file


# The clapper


def picture(number: int, flash: bool, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(3/2 rows, columns) uint8, as yuv420p: dark waves that wander, or one bright area.

    Ten squares in its last rows show `number` in binary.
    """
    rows, columns = np.arange(size[0])[:, None], np.arange(size[1])
    if flash:
        luma, low, high = np.full(size, 230.0), 180, 230
    else:
        luma = 50 + 14 * np.sin((columns + 3 * number) / 9) + 8 * np.cos((rows - 2 * number) / 7)
        low, high = 20, 90
    for digit in range(10):
        square = np.s_[size[0] - 16 :, 16 * digit : 16 * digit + 16]
        luma[square] = high if number >> digit & 1 else low
    chroma = np.full((size[0] // 2, size[1]), 128.0)
    return np.concatenate([luma, chroma]).astype(np.uint8)


def number_on(luma: np.ndarray) -> int:
    """The number that is drawn onto a picture (rows, columns)."""
    middle = 205 if bright(luma) else 55
    squares = [luma[-12:-4, 16 * digit + 4 : 16 * digit + 12].mean() for digit in range(10)]
    return sum(int(square > middle) << digit for digit, square in enumerate(squares))


def bright(luma: np.ndarray) -> bool:
    return bool(luma[:-16].mean() > 150)


def clapper_sound(seconds: float, clicks: Sequence[float], rate: int) -> np.ndarray:
    """(samples,) float32: a soft tone, and a loud tone of 4 ms at each of `clicks`."""
    moments = np.arange(round(seconds * rate)) / rate
    signal = 0.01 * np.sin(2 * np.pi * 220 * moments)
    for click in clicks:
        first = int(np.ceil(click * rate - 1e-6))
        part = moments[first : first + round(CLICK * rate)] - click
        signal[first : first + len(part)] = 0.9 * np.cos(2 * np.pi * 2500 * part)
    return signal.astype(np.float32)


def flashes_of(times: Sequence[float], seconds: float) -> list[int]:
    """Of the frames at `times`, those that flash: the first one after each half of a second."""
    places = [int(np.searchsorted(times, n + 0.5 - 1e-6)) for n in range(int(np.ceil(seconds)))]
    return sorted({place for place in places if place < len(times)})


# A film of packets


def write(
    path: Path,
    codec: str,
    sound: str | None,
    *,
    options: dict[str, str] | None = None,
    frames: int = 150,
    rate: Fraction | int = RATE,
    times: Sequence[float] | None = None,
    even: bool = False,
    seconds: float | None = None,
    late: float = 0.0,
    size: tuple[int, int] = SIZE,
    pixels: str = "yuv420p",
    sound_rate: int = 48000,
    layout: str = "mono",
    sound_options: dict[str, str] | None = None,
    sound_start: float = 0.0,
    sound_end: float | None = None,
    form: str | None = None,
    muxing: dict[str, str] | None = None,
    tag: str | None = None,
    prepare: Callable[[av.VideoStream], None] = lambda stream: None,
    draw: Callable[[int, bool], np.ndarray] | None = None,
    change: Callable[[Packets], Packets] = lambda packets: packets,
    change_sound: Callable[[Packets], Packets] = lambda packets: packets,
) -> Truth:
    """A clapper of `frames` frames, or of frames at `times`, that lasts `seconds`.

    even: coded as if the frames were at equal distances, `change` is to give them their stamps.
    late: seconds that all stamps are later than the truth.
    change and change_sound: what is done to the packets before they are written.
    """
    base = 1 / Fraction(rate)
    if times is None:
        times = [float(number * base) for number in range(frames)]
        even = True
    if even and not late:
        ticks = list(range(len(times)))
    else:
        base = Fraction(1, 1000)
        ticks = [round(1000 * (time + late)) for time in times]
    if seconds is None:
        seconds = times[-1] + float(1 / Fraction(rate))
    flashing = flashes_of(times, seconds)
    flashes = tuple(times[number] for number in flashing)
    end = seconds if sound_end is None else sound_end
    draw = draw or (lambda number, flash: picture(number, flash, size))
    with av.open(
        str(path), "w", format=form, options={"fflags": "+bitexact"} | (muxing or {})
    ) as film:
        video = film.add_stream(codec, rate=rate, options={"flags": "+bitexact"} | (options or {}))
        video.height, video.width = size
        video.pix_fmt = pixels
        video.codec_context.thread_count = 1  # the same bytes each time
        video.codec_context.time_base = base
        if tag:
            video.codec_context.codec_tag = tag
        prepare(video)
        audio = None
        if sound is not None:
            audio = film.add_stream(
                sound,
                rate=sound_rate,
                layout=layout,
                options={"flags": "+bitexact"} | (sound_options or {}),
            )
            audio.codec_context.thread_count = 1
        film.start_encoding()
        seen: Packets = []
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(draw(number, number in flashing), format=pixels)
            frame.pts, frame.time_base = tick, base
            if number + 1 < len(ticks):
                frame.duration = ticks[number + 1] - tick
            else:
                frame.duration = round((seconds - times[-1]) / base)
            seen += video.encode(frame)
        seen += video.encode()
        if not even:
            lengths = dict(zip(ticks, np.diff([*ticks, ticks[-1] + frame.duration]), strict=True))
            for packet in seen:
                packet.duration = int(lengths[packet.pts])
        heard: Packets = []
        if audio is not None:
            signal = clapper_sound(
                end - sound_start, [t - sound_start for t in flashes], sound_rate
            )
            heard = encode_sound(audio, signal, round((sound_start + late) * sound_rate))
        packets = [*change(seen), *change_sound(heard)]
        for packet in packets:
            packet.stream = video if packet in seen or packet.stream is None else packet.stream
        film.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    return Truth(
        path,
        len(times),
        tuple(times),
        seconds,
        flashes,
        tuple(flash for flash in flashes if sound_start <= flash < end) if sound else (),
        tuple(range(len(times))),
        (sound_start, end) if sound else None,
    )


def encode_sound(stream: av.AudioStream, signal: np.ndarray, first: int = 0) -> Packets:
    """Packets of `signal` (samples,), whose first sample has the time stamp `first`."""
    channels = len(stream.layout.channels)
    data = np.repeat((signal * 32767).round().astype(np.int16), channels)[None]
    piece = av.AudioFrame.from_ndarray(data, format="s16", layout=stream.layout.name)
    piece.sample_rate, piece.time_base = stream.rate, Fraction(1, stream.rate)
    piece.pts = first
    return [*stream.encode(piece), *stream.encode()]


def packet_of(
    data: bytes, like: av.Packet, pts: int, dts: int, base: Fraction | None = None
) -> av.Packet:
    packet = av.Packet(data)
    packet.stream, packet.time_base, packet.duration = like.stream, base or like.time_base, 0
    packet.pts, packet.dts, packet.is_keyframe = pts, dts, like.is_keyframe
    return packet


def moved(by: int) -> Callable[[Packets], Packets]:
    """All stamps later by `by` ticks."""

    def change(packets: Packets) -> Packets:
        for packet in packets:
            packet.pts, packet.dts = packet.pts + by, packet.dts + by
        return packets

    return change


def one_by_one(packets: Packets) -> Packets:
    """What a container without stamps of display says: packet n is stamped n."""
    for number, packet in enumerate(packets):
        packet.pts = packet.dts = number
    return packets


# A. AVI


def avi_plain(path: Path) -> Truth:
    """XVID without B-frames, as OpenCV and MEncoder write it."""
    return write(path, "mpeg4", "pcm_s16le", options=GOOD, tag="XVID")


def avi_b_frames(path: Path) -> Truth:
    """XVID whose B-frames have chunks of their own."""
    return write(path, "mpeg4", "pcm_s16le", options=XVID_B, tag="XVID", change=one_by_one)


def avi_packed(path: Path) -> Truth:
    """XVID whose B-frames are in the chunk of the frame that they need, as in UCF101."""
    return write(path, "mpeg4", "pcm_s16le", options=XVID_B, tag="XVID", change=packed)


def avi_packed_mp3(path: Path) -> Truth:
    """And its sound is MP3, whose first 1105 samples are the coder's delay: nobody cuts them."""
    film = write(
        path,
        "mpeg4",
        "libmp3lame",
        options=XVID_B,
        tag="XVID",
        change=packed,
        change_sound=moved(1105),
    )
    return _delayed(film)


def avi_h264(path: Path) -> Truth:
    """H.264 with B-frames, of whose order of display AVI says nothing."""
    return write(path, "libx264", "pcm_s16le", options=X264, change=one_by_one)


def avi_mp3(path: Path) -> Truth:
    film = write(path, "mpeg4", "libmp3lame", options=GOOD, tag="XVID", change_sound=moved(1105))
    return _delayed(film)


def _delayed(film: Truth) -> Truth:
    late = 1105 / 48000
    return film._replace(
        clicks=tuple(click + late for click in film.clicks), sound=(late, film.seconds + late)
    )


def ffmpeg_avi(path: Path) -> Truth:
    """As FFmpeg writes it: the sound is to begin before the picture by the coder's delay, so that
    all later frames are late by one, which is what an empty chunk says."""
    film = write(path, "mpeg4", "libmp3lame", options=GOOD, tag="XVID", muxing=SIGNED)
    frame = 1 / RATE
    return film._replace(
        times=(0.0, *(time + frame for time in film.times[1:])),
        seconds=film.seconds + frame,
        flashes=tuple(flash + frame for flash in film.flashes),
        clicks=tuple(click + frame for click in film.clicks),
        sound=(frame, film.seconds + frame),
    )


def ffmpeg_avi_b_frames(path: Path) -> Truth:
    """Frames that wait for B-frames make the picture begin earlier than the sound."""
    return write(path, "mpeg4", "libmp3lame", options=XVID_B, tag="XVID", muxing=SIGNED)


def ffmpeg_avi_h264(path: Path) -> Truth:
    return write(path, "libx264", "aac", options=X264, muxing=SIGNED)


def packed(packets: Packets) -> Packets:
    """[I] [P B] [B] [nothing new] ..., which is what DivX's packed bitstream is."""
    marks = b"\0\0\1\xb2DivX503b1393p\0\0\1\xb2XviD0050"
    data = [bytes(packet) for packet in packets]
    data = [
        part.replace(b"\0\0\1\xb6", marks + b"\0\0\1\xb6", 1) if packet.is_keyframe else part
        for part, packet in zip(data, packets, strict=True)
    ]
    types = [part[part.index(b"\0\0\1\xb6") + 4] >> 6 for part in data]
    chunks: list[bytes] = []
    number = 0
    while number < len(data):
        run = 1
        while number + run < len(data) and types[number + run] == 2:
            run += 1
        if run == 1:
            chunks.append(data[number])
        else:
            chunks.append(data[number] + data[number + 1])
            chunks += [*data[number + 2 : number + run], _not_coded(data[number])]
        number += run
    return [packet_of(chunk, packets[n], n, n) for n, chunk in enumerate(chunks)]


def _not_coded(data: bytes) -> bytes:
    """An MPEG-4 picture of the same time that says: show the last one."""
    start = data.index(b"\0\0\1\xb6") + 4
    bits = "".join(f"{byte:08b}" for byte in data[start : start + 8])
    time = bits[2 : bits.index("0", 2) + 7 + 1]  # whole seconds, a mark, five bits of 1/25 s
    new = "01" + time + "10" + "0"
    new += "1" * (-len(new) % 8)
    return b"\0\0\1\xb6" + bytes(int(new[n : n + 8], 2) for n in range(0, len(new), 8))


# B. MP4 and MOV


def mp4_plain(path: Path) -> Truth:
    """With the usual edit lists: one for the B-frames, one for AAC's priming."""
    return write(path, "libx264", "aac", options=X264)


def mp4_cut(path: Path, start: float = 0.5, frames: int = 75) -> Truth:
    """The rest of a film from `start` seconds on, without coding it again.

    An edit list hides what is before, back to the key frame.
    """
    return _cut(write(path, "libx264", "aac", options=X264, frames=frames), start)


def mp4_cut_later(path: Path) -> Truth:
    """And the key frame is not the film's first."""
    film = write(path, "libx264", "aac", options=X264)
    return _cut(film, 2.7)


def mov_inside(path: Path) -> Truth:
    """An edit starts a third into the first frame: the rest of it is what is shown first."""
    film = write(path, "libx264", "aac", options=X264, form="mov")
    return _edit_later(film, 1 / 3 / RATE)


def mp4_inside(path: Path) -> Truth:
    """An edit starts a third into frame 13, which flashes."""
    film = write(path, "libx264", "aac", options=X264)
    return _edit_later(film, (13 + 1 / 3) / RATE)


def mp4_fragmented(path: Path) -> Truth:
    muxing = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    return _unhidden(write(path, "libx264", "aac", options=X264, muxing=muxing))


def mp4_no_edit(path: Path) -> Truth:
    """Without edit lists: the picture starts two frames late, as its B-frames want it."""
    film = write(path, "libx264", "aac", options=X264, muxing={"use_editlist": "0"})
    return _unhidden(film)


def _unhidden(film: Truth) -> Truth:
    """AAC's first packet, which holds nothing but its priming, is at the file's start."""
    start = -2 / RATE
    return film._replace(sound=(start, film.sound[1]), gaps=((start + 1024 / 48000, 0.0),))


def _cut(film: Truth, start: float) -> Truth:
    """As `ffmpeg -ss start -c copy` does it."""
    source = film.path.with_stem(film.path.stem + "_whole")
    film.path.replace(source)
    with (
        av.open(str(source)) as old,
        av.open(str(film.path), "w", options={"fflags": "+bitexact"}) as new,
    ):
        copies = {stream: new.add_stream_from_template(stream) for stream in old.streams}
        old.seek(round(start * av.time_base))
        first = None
        for packet in old.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "video" and first is None:
                first = packet.pts * packet.time_base
            shift = round(Fraction(start).limit_denominator(1000) / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copies[packet.stream]
            new.mux(packet)
    source.unlink()
    return _without(film, start)


def _without(film: Truth, start: float) -> Truth:
    """`film` whose first `start` seconds are not shown; a frame is cut where `start` is in it."""
    ends = [*film.times[1:], film.seconds]
    kept = [n for n, end in enumerate(ends) if end > start + 1e-6]
    times = tuple(max(film.times[n] - start, 0.0) for n in kept)
    flashes = tuple(
        max(flash - start, 0.0) for flash in film.flashes if flash + 1 / RATE > start + 1e-6
    )
    return film._replace(
        frames=len(kept),
        times=times,
        numbers=tuple(film.numbers[n] for n in kept),
        seconds=film.seconds - start,
        flashes=flashes,
        clicks=tuple(click - start for click in film.clicks if click > start - 1e-6),
        sound=(0.0, film.sound[1] - start),
    )


def boxes(data: bytes | bytearray, start: int, end: int) -> list[tuple[bytes, int, int]]:
    """The kind and the span of what is in each box of an MP4 between two bytes."""
    found = []
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        found.append((kind, start + 8, start + length))
        start += length
    return found


def box(data: bytes | bytearray, span: tuple[int, int], *kinds: bytes) -> tuple[int, int]:
    """The span of what is in the first box of a kind, in the first one of another, ..."""
    for kind in kinds:
        span = next((a, b) for name, a, b in boxes(data, *span) if name == kind)
    return span


def _edit_later(film: Truth, by: float) -> Truth:
    """The edits of both tracks start `by` seconds later."""
    data = bytearray(film.path.read_bytes())
    moov = box(data, (0, len(data)), b"moov")
    scale = struct.unpack_from(">I", data, box(data, moov, b"mvhd")[0] + 12)[0]
    for kind, *track in boxes(data, *moov):
        if kind != b"trak":
            continue
        ticks = struct.unpack_from(">I", data, box(data, track, b"mdia", b"mdhd")[0] + 12)[0]
        entry = box(data, track, b"edts", b"elst")[0] + 8
        length, media = struct.unpack_from(">Ii", data, entry)
        struct.pack_into(">Ii", data, entry, round(length - by * scale), media + round(by * ticks))
    film.path.write_bytes(data)
    return _without(film, by)


# C. WebM and Matroska


def webm_plain(path: Path) -> Truth:
    return write(path, "libvpx", "libopus", options=VP8)


def webm_vp9(path: Path) -> Truth:
    return write(path, "libvpx-vp9", "libopus", options=VP8)


def webm_gap(path: Path, start: float = 2.6, seconds: float = 0.2) -> Truth:
    """Packets of its sound are left out: 20 ms each."""
    holes: list[float] = []

    def leave_out(packets: Packets) -> Packets:
        first = next(n for n, p in enumerate(packets) if p.pts * p.time_base >= start)
        last = first + round(seconds / 0.02)
        holes.extend(float(packets[n].pts * packets[n].time_base) for n in (first, last))
        return packets[:first] + packets[last:]

    film = write(path, "libvpx", "libopus", options=VP8, change_sound=leave_out)
    clicks = tuple(click for click in film.clicks if not holes[0] <= click < holes[1])
    return film._replace(gaps=((holes[0], holes[1]),), clicks=clicks, slack=0.0015)


def webm_long_gap(path: Path) -> Truth:
    return webm_gap(path, seconds=1.0)


def mkv_plain(path: Path) -> Truth:
    return write(path, "libx264", "flac", options=X264)


def mkv_aac(path: Path) -> Truth:
    return write(path, "libx264", "aac", options=X264)


def mkv_sound_late(path: Path) -> Truth:
    """The sound starts 0.3 s after the picture."""
    return write(path, "libx264", "flac", options=X264, sound_start=0.3)


def mkv_sound_first(path: Path) -> Truth:
    """The sound starts 0.3 s before the picture."""
    return write(path, "libx264", "flac", options=X264, sound_start=-0.3, late=0.3)


def mp4_sound_late(path: Path) -> Truth:
    """The sound starts 0.3 s after the picture: an empty edit, in whole milliseconds."""
    film = write(path, "libx264", "aac", options=X264, sound_start=0.3)
    return film._replace(slack=0.001)


def mp4_sound_first(path: Path) -> Truth:
    return write(path, "libx264", "aac", options=X264, sound_start=-0.3, late=0.3)


# D. MPEG program and transport streams, DV


def mpg_plain(path: Path) -> Truth:
    return write(path, "mpeg1video", "mp2", options=MPEG, form="mpeg", sound_rate=44100)


def mpg_stuffed(path: Path) -> Truth:
    """A constant bit rate, as on a Video CD: zeros fill what the pictures leave."""
    options = {"g": "15", "bf": "2", "b": "1150000", "minrate": "1150000", "maxrate": "1150000"}
    options["bufsize"] = "327680"
    return write(
        path, "mpeg1video", "mp2", options=options, frames=75, form="vcd", sound_rate=44100
    )


def mpg2_plain(path: Path) -> Truth:
    return write(path, "mpeg2video", "mp2", options=MPEG, form="vob")


def mpg2_stuffed(path: Path) -> Truth:
    options = {"g": "15", "bf": "2", "b": "2500000", "minrate": "2500000", "maxrate": "2500000"}
    options["bufsize"] = "1835008"
    return write(path, "mpeg2video", "mp2", options=options, frames=75, form="svcd")


def ts_h264(path: Path) -> Truth:
    return write(path, "libx264", "aac", options=X264, form="mpegts")


def ts_mpeg2(path: Path) -> Truth:
    return write(path, "mpeg2video", "mp2", options=MPEG, form="mpegts")


def dv_raw(path: Path) -> Truth:
    return _dv(path, "dv")


def dv_avi(path: Path) -> Truth:
    return _dv(path, "avi")


def dv_mov(path: Path) -> Truth:
    return _dv(path, "mov")


def _dv(path: Path, form: str) -> Truth:
    return write(
        path, "dvvideo", "pcm_s16le", frames=50, size=(576, 720), form=form, layout="stereo"
    )


# E. Interlaced


def interlaced_h264(path: Path) -> Truth:
    options = X264 | {"flags": "+bitexact+ildct+ilme"}
    options["x264-params"] += ":tff=1"
    return write(path, "libx264", "aac", options=options, frames=50, draw=woven)


def interlaced_ts(path: Path) -> Truth:
    options = X264 | {"flags": "+bitexact+ildct+ilme"}
    options["x264-params"] += ":tff=1"
    return write(path, "libx264", "aac", options=options, frames=50, draw=woven, form="mpegts")


def interlaced_mpeg2(path: Path) -> Truth:
    return _woven_mpeg(path, "mpeg2video", "mp2", "vob")


def interlaced_mpeg2_ts(path: Path) -> Truth:
    return _woven_mpeg(path, "mpeg2video", "mp2", "mpegts")


def interlaced_avi(path: Path) -> Truth:
    return _woven_mpeg(path, "mpeg4", "pcm_s16le", "avi", GOOD)


def _woven_mpeg(
    path: Path, codec: str, sound: str, form: str, options: dict[str, str] | None = None
) -> Truth:
    def top_first(stream: av.VideoStream) -> None:
        stream.codec_context.field_order = 2

    return write(
        path,
        codec,
        sound,
        options=(options or MPEG) | {"flags": "+bitexact+ildct+ilme"},
        frames=50,
        form=form,
        draw=woven,
        prepare=top_first,
    )


def woven(number: int, flash: bool) -> np.ndarray:
    """A frame of two fields, the upper one first: 50 pictures a second."""
    first, second = (picture(2 * number + field, flash) for field in (0, 1))
    first[1 : SIZE[0] : 2] = second[1 : SIZE[0] : 2]
    first[SIZE[0] - 16 : SIZE[0]] = picture(number, flash)[SIZE[0] - 16 : SIZE[0]]
    return first


# F. Variable rates

UNEVEN = (0.0, 0.04, 0.08, 1.0, 1.7, 4.0, 4.04, 6.0, 9.96)


def uneven(path: Path) -> Truth:
    """Nine frames in 10 s (.mkv, .mp4)."""
    return write(path, "libx264", "aac", options=X264, times=UNEVEN, seconds=10.0)


def random_rate(path: Path, seed: int = 0) -> Truth:
    """10 to 50 frames a second (.mkv, .mp4)."""
    rng = np.random.default_rng(seed)
    steps = rng.uniform(0.02, 0.1, 100).round(3)
    times = [round(float(time), 3) for time in np.cumsum([0.0, *steps[:-1]])]
    seconds = round(times[-1] + float(steps[-1]), 3)
    return write(path, "libx264", "aac", options=X264, times=times, seconds=seconds)


def slides(path: Path) -> Truth:
    """Two pictures: the second one, of 0.04 s by the file, is to be seen until the sound ends."""

    def short(packets: Packets) -> Packets:
        packets[-1].duration = 40
        return packets

    return write(path, "libx264", "aac", options=X264, times=(0.0, 2.0), seconds=8.0, change=short)


# G. Soft telecine

FIELD = Fraction(1001, 60000)


def telecine(path: Path) -> Truth:
    """72 frames are shown for three fields and for two in turn, then 90 for two (.mpg, .ts)."""
    lengths = [3, 2] * 36 + [2] * 90
    starts = np.cumsum([0, *lengths]).tolist()
    shown = [float(start * FIELD) for start in starts]

    def change(packets: Packets) -> Packets:
        return [
            packet_of(
                _fields(bytes(packet), lengths[packet.pts] == 3, starts[packet.pts] % 2 == 0),
                packet,
                round(starts[packet.pts] * FIELD * 90000),
                round((starts[order - 1] if order else -2) * FIELD * 90000),
                Fraction(1, 90000),
            )
            for order, packet in enumerate(packets)
        ]

    return write(
        path,
        "mpeg2video",
        "mp2",
        options=MPEG,
        rate=Fraction(30000, 1001),
        times=shown[:-1],
        even=True,
        seconds=shown[-1],
        form="mpegts" if path.suffix == ".ts" else "vob",
        change=change,
    )


def _fields(data: bytes, three: bool, top_first: bool) -> bytes:
    """A coded picture of MPEG-2 that says for how many fields it is shown."""
    new = bytearray(data)
    place = -1
    while (place := new.find(b"\0\0\1\xb5", place + 1)) >= 0:
        if new[place + 4] >> 4 == 1:  # the sequence: not progressive
            new[place + 5] &= ~0x08
        elif new[place + 4] >> 4 == 8:
            new[place + 7] = new[place + 7] & ~0x82 | 0x80 * top_first | 0x02 * three
    return bytes(new)


# H. Colours


class Bars(NamedTuple):
    """A film of eight upright bars, all frames alike."""

    path: Path
    colours: np.ndarray  # (8, 3) RGB, 0 to 255: what a correct player shows of them
    matrix: str
    full: bool  # whether its values span the whole range
    bits: int
    told: bool  # whether the file names its matrix


BARS = np.array(
    [
        (191, 191, 191),
        (191, 191, 40),
        (40, 191, 191),
        (40, 191, 40),
        (191, 40, 191),
        (191, 40, 40),
        (40, 40, 191),
        (90, 120, 60),
    ]
)
MATRICES = {  # the number in H.273; what red and blue weigh in the luma
    "bt709": (1, 0.2126, 0.0722),
    "fcc": (4, 0.30, 0.11),
    "bt470bg": (5, 0.299, 0.114),
    "smpte170m": (6, 0.299, 0.114),
    "smpte240m": (7, 0.212, 0.087),
    "ycgco": (8, 0, 0),
    "bt2020nc": (9, 0.2627, 0.0593),
    "bt2020c": (10, 0.2627, 0.0593),
}


def luma_and_chroma(rgb: np.ndarray, matrix: str) -> np.ndarray:
    """(n, 3) of R'G'B' from 0 to 1: luma from 0 to 1, Cb and Cr (Cg and Co) from -0.5 to 0.5."""
    red, green, blue = rgb.T
    _, kr, kb = MATRICES[matrix]
    if matrix == "ycgco":
        return np.stack(
            [
                red / 4 + green / 2 + blue / 4,
                -red / 4 + green / 2 - blue / 4,
                (red - blue) / 2,
            ],
            1,
        )
    if matrix == "bt2020c":
        a, b = 1.09929682680944, 0.018053968510807
        linear = np.where(rgb < 4.5 * b, rgb / 4.5, ((rgb + a - 1) / a) ** (1 / 0.45))
        luma = linear @ [kr, 1 - kr - kb, kb]
        luma = np.where(luma < b, 4.5 * luma, a * luma**0.45 - (a - 1))
        cb, cr = blue - luma, red - luma
        return np.stack(
            [
                luma,
                cb / np.where(cb <= 0, 1.9404, 1.5816),
                cr / np.where(cr <= 0, 1.7184, 0.9936),
            ],
            1,
        )
    luma = rgb @ [kr, 1 - kr - kb, kb]
    return np.stack([luma, (blue - luma) / (1 - kb) / 2, (red - luma) / (1 - kr) / 2], 1)


def bars(
    path: Path,
    matrix: str = "bt709",
    *,
    full: bool = False,
    bits: int = 8,
    codec: str = "ffv1",
    told: bool = True,
) -> Bars:
    """Ten frames of the bars: without loss by ffv1 in a .mkv, nearly so by libx264."""
    top = 2 ** (bits - 8)
    values = luma_and_chroma(BARS / 255, matrix)
    low, luma, chroma = (
        (0, 256 * top - 1, 256 * top - 1) if full else (16 * top, 219 * top, 224 * top)
    )
    values = values * [luma, chroma, chroma] + [low, 128 * top, 128 * top]
    values = values.round().clip(0, 256 * top - 1).astype(np.uint8 if bits == 8 else np.uint16)
    rows, columns = SIZE
    planes = [
        np.tile(np.repeat(values[:, 0], columns // 8), (rows, 1)),
        *(np.tile(np.repeat(values[:, n], columns // 16), (rows // 2, 1)) for n in (1, 2)),
    ]
    pixels = "yuv420p" if bits == 8 else f"yuv420p{bits}le"
    options = {"flags": "+bitexact"}
    if codec == "libx264":
        options |= {"preset": "veryfast", "qp": "1", "x264-params": "mbtree=0:bframes=0"}
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as film:
        video = film.add_stream(codec, rate=RATE, options=options)
        video.height, video.width, video.pix_fmt = rows, columns, pixels
        context = video.codec_context
        context.thread_count = 1
        context.color_range = 2 if full else 1
        if told:
            context.colorspace = MATRICES[matrix][0]
        for number in range(10):
            frame = av.VideoFrame(columns, rows, pixels)
            for plane, data in zip(frame.planes, planes, strict=True):
                lines = np.zeros((plane.height, plane.line_size), np.uint8)
                lines[:, : data.shape[1] * data.itemsize] = np.ascontiguousarray(data).view(
                    np.uint8
                )
                plane.update(lines)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            frame.color_range = context.color_range
            if told:
                frame.colorspace = context.colorspace
            film.mux(video.encode(frame))
        film.mux(video.encode())
    return Bars(path, BARS, matrix, full, bits, told)


def bars_full(path: Path, codec: str = "ffv1") -> Bars:
    return bars(path, "bt470bg", full=True, codec=codec)


def bars_ten_bits(path: Path) -> Bars:
    return bars(path, "bt709", bits=10)


def bars_high10(path: Path) -> Bars:
    return bars(path, "bt709", bits=10, codec="libx264")


def bars_untold(path: Path) -> Bars:
    """Nothing names the matrix: BT.601, as of any small picture."""
    return bars(path, "smpte170m", told=False)


# I. Sounds


def noise(seconds: float = 2.0, rate: int = 48000, channels: int = 1) -> np.ndarray:
    """(channels, samples) float32: a soft noise without its highest tones, and a tone."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.normal(0, 0.1, (channels, round(seconds * rate))))
    spectrum[:, spectrum.shape[1] // 4 :] = 0
    time = np.arange(round(seconds * rate)) / rate
    return (np.fft.irfft(spectrum) + 0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def coded(
    path: Path,
    codec: str,
    rate: int = 48000,
    *,
    form: str | None = None,
    bits: int | None = None,
    decibels: float = float("inf"),
    seconds: float = 2.0,
) -> Signal:
    """Mono sound by one of FFmpeg's coders."""
    signal = noise(seconds, rate)
    with av.open(str(path), "w", format=form, options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono", options={"flags": "+bitexact"})
        stream.codec_context.thread_count = 1
        if bits:
            stream.codec_context.bit_rate = bits
        file.start_encoding()
        file.mux(encode_sound(stream, signal[0]))
    return Signal(path, signal, rate, decibels)


def stored(path: Path, signal: np.ndarray, rate: int = 48000, **options: str) -> Signal:
    """What soundfile writes."""
    soundfile.write(path, signal.T, rate, **options)
    return Signal(path, signal, rate)


def flac_streamed(path: Path) -> Signal:
    """FLAC that does not say how long it is, nor its sum."""
    film = stored(path, (noise() * 32767).round() / 32768, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # "fLaC", a header of 4 bytes, then STREAMINFO: 36 bits from here on
    data[22:42] = bytes(20)
    path.write_bytes(data)
    return film


def wav_mp3(path: Path) -> Signal:
    return coded(path, "libmp3lame", decibels=15)._replace(late=1105)


def wav_g726(path: Path) -> Signal:
    """Which soundfile cannot read."""
    return coded(path, "adpcm_g726", 8000, bits=32000, decibels=15)


def wav_adpcm_ms(path: Path) -> Signal:
    return coded(path, "adpcm_ms", decibels=15)


def wav_adpcm_ima(path: Path) -> Signal:
    return coded(path, "adpcm_ima_wav", decibels=15)


def m4a_as_mp4(path: Path) -> Signal:
    """AAC of the brand M4A, whatever its file is called."""
    return coded(path, "aac", form="ipod", decibels=15)


def mp3(path: Path) -> Signal:
    """With the priming and the end in LAME's header."""
    return coded(path, "libmp3lame", decibels=15)


def ogg_opus(path: Path) -> Signal:
    return coded(path, "libopus", decibels=10)


def ogg_vorbis(path: Path) -> Signal:
    return stored(path, noise(), format="OGG", subtype="VORBIS")._replace(decibels=15)


def wav_opposite(path: Path) -> Signal:
    """The right channel is the left one turned over: their mean is silence."""
    left = (noise() * 32767).round() / 32768
    return stored(path, np.concatenate([left, -left]), subtype="PCM_16")


def wav_nan(path: Path) -> Signal:
    signal = noise()
    signal[0, 1000] = np.nan
    return stored(path, signal, subtype="FLOAT")


def w64(path: Path) -> Signal:
    return stored(path, noise(), format="W64", subtype="FLOAT")


def aiff(path: Path) -> Signal:
    return stored(path, (noise() * 32767).round() / 32768, format="AIFF", subtype="PCM_16")


def caf(path: Path) -> Signal:
    return stored(path, (noise() * 32767).round() / 32768, format="CAF", subtype="PCM_16")


# All of them, and what FFmpeg makes of them

FILMS: dict[str, Callable[[Path], Truth]] = {
    "avi_plain.avi": avi_plain,
    "avi_b_frames.avi": avi_b_frames,
    "avi_packed.avi": avi_packed,
    "avi_packed_mp3.avi": avi_packed_mp3,
    "avi_h264.avi": avi_h264,
    "avi_mp3.avi": avi_mp3,
    "ffmpeg_avi.avi": ffmpeg_avi,
    "ffmpeg_avi_b_frames.avi": ffmpeg_avi_b_frames,
    "ffmpeg_avi_h264.avi": ffmpeg_avi_h264,
    "mp4_plain.mp4": mp4_plain,
    "mp4_cut.mp4": mp4_cut,
    "mp4_cut_later.mp4": mp4_cut_later,
    "mp4_inside.mp4": mp4_inside,
    "mov_inside.mov": mov_inside,
    "mp4_fragmented.mp4": mp4_fragmented,
    "mp4_no_edit.mp4": mp4_no_edit,
    "mp4_sound_late.mp4": mp4_sound_late,
    "mp4_sound_first.mp4": mp4_sound_first,
    "webm_plain.webm": webm_plain,
    "webm_vp9.webm": webm_vp9,
    "webm_gap.webm": webm_gap,
    "webm_long_gap.webm": webm_long_gap,
    "mkv_plain.mkv": mkv_plain,
    "mkv_aac.mkv": mkv_aac,
    "mkv_sound_late.mkv": mkv_sound_late,
    "mkv_sound_first.mkv": mkv_sound_first,
    "mpg_plain.mpg": mpg_plain,
    "mpg_stuffed.mpg": mpg_stuffed,
    "mpg2_plain.mpg": mpg2_plain,
    "mpg2_stuffed.mpg": mpg2_stuffed,
    "ts_h264.ts": ts_h264,
    "ts_mpeg2.ts": ts_mpeg2,
    "dv_raw.dv": dv_raw,
    "dv_avi.avi": dv_avi,
    "dv_mov.mov": dv_mov,
    "interlaced_h264.mp4": interlaced_h264,
    "interlaced_ts.ts": interlaced_ts,
    "interlaced_mpeg2.mpg": interlaced_mpeg2,
    "interlaced_mpeg2_ts.ts": interlaced_mpeg2_ts,
    "interlaced_avi.avi": interlaced_avi,
    "uneven_mkv.mkv": uneven,
    "uneven_mp4.mp4": uneven,
    "random_mkv.mkv": random_rate,
    "random_mp4.mp4": random_rate,
    "slides_mkv.mkv": slides,
    "slides_mp4.mp4": slides,
    "telecine_ps.mpg": telecine,
    "telecine_ts.ts": telecine,
}
SOUNDS: dict[str, Callable[[Path], Signal]] = {
    "flac_streamed.flac": flac_streamed,
    "wav_mp3.wav": wav_mp3,
    "wav_g726.wav": wav_g726,
    "wav_adpcm_ms.wav": wav_adpcm_ms,
    "wav_adpcm_ima.wav": wav_adpcm_ima,
    "m4a_as_mp4.mp4": m4a_as_mp4,
    "mp3.mp3": mp3,
    "ogg_opus.ogg": ogg_opus,
    "ogg_vorbis.ogg": ogg_vorbis,
    "wav_opposite.wav": wav_opposite,
    "wav_nan.wav": wav_nan,
    "w64.w64": w64,
    "aiff.aiff": aiff,
    "caf.caf": caf,
}
COLOURS: dict[str, Callable[[Path], Bars]] = {
    **{f"bars_{name}.mkv": partial(bars, matrix=name) for name in MATRICES},
    **{f"bars_{name}.mp4": partial(bars, matrix=name, codec="libx264") for name in MATRICES},
    "bars_full.mkv": bars_full,
    "bars_full.mp4": partial(bars_full, codec="libx264"),
    "bars_ten_bits.mkv": bars_ten_bits,
    "bars_high10.mp4": bars_high10,
    "bars_untold.mkv": bars_untold,
}


class Seen(NamedTuple):
    """What PyAV says of a film, on FFmpeg's own clock."""

    times: list[float | None]
    numbers: list[int]
    flashes: list[float | None]
    spans: list[list[float]]  # of the sound, without gaps inside
    samples: int
    clicks: list[float]
    errors: int  # with err_detect=explode


def see(path: Path) -> Seen:
    """A lenient look."""
    times, numbers, flashes, spans, clicks, samples = [], [], [], [], [], 0
    last = -1.0
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            luma = frame.to_ndarray(format="gray")
            times.append(frame.time)
            numbers.append(number_on(luma))
            if bright(luma):
                flashes.append(frame.time)
    with av.open(str(path)) as film:
        for frame in film.decode(audio=0):
            data = frame.to_ndarray()
            if data.dtype == np.int16:
                data = data / 32768
            if not frame.format.is_planar:
                data = data.reshape(-1, len(frame.layout.channels)).T
            samples += frame.samples
            end = frame.time + frame.samples / frame.sample_rate
            if spans and abs(spans[-1][1] - frame.time) < 0.002:
                spans[-1][1] = end
            else:
                spans.append([frame.time, end])
            for place in np.flatnonzero(np.abs(data[0]) > 0.3):
                moment = float(frame.time + place / frame.sample_rate)
                if moment > last + 0.1:
                    clicks.append(moment)
                last = moment
    errors = 0
    with av.open(str(path)) as film:
        film.streams.video[0].codec_context.options = {"err_detect": "bitstream+explode"}
        for packet in film.demux(video=0):
            try:
                packet.decode()
            except av.error.FFmpegError:
                errors += 1
    return Seen(times, numbers, flashes, spans, samples, clicks, errors)


def ffmpeg_times(path: Path) -> list[float] | None:
    """Of the frames that the program `ffmpeg` shows; None: there is no such program."""
    if shutil.which("ffmpeg") is None:
        return None
    command = ["ffmpeg", "-v", "quiet", "-i", path, "-map", "0:v", "-fps_mode", "passthrough"]
    command += ["-enc_time_base", "-1"]
    lines = subprocess.run(
        [*command, "-f", "framemd5", "-"], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    base = next((Fraction(line.split()[2]) for line in lines if line.startswith("#tb 0")), 0)
    return [float(int(line.split(",")[2]) * base) for line in lines if line[:1].isdigit()]


def table(folder: Path) -> None:
    """Writes all films, and prints what FFmpeg says of them."""
    av.logging.set_level(av.logging.PANIC)
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in FILMS.items():
        started = time.perf_counter()
        truth = make(folder / name)
        took = time.perf_counter() - started
        seen = see(truth.path)
        print(f"\n{name}  ({took:.1f} s, {truth.path.stat().st_size // 1000} kB)")
        shown = ffmpeg_times(truth.path)
        _row("frames", truth.frames, len(seen.times), len(shown or ()))
        _row("seconds", f"{truth.seconds:.4f}", _declared(truth.path))
        _row("same pictures", seen.numbers == list(truth.numbers), f"errors: {seen.errors}")
        _row("times", truth.times[:5], seen.times[:5], (shown or [])[:5])
        _row("last time", truth.times[-1:], seen.times[-1:], (shown or [])[-1:])
        _row("flashes", truth.flashes[:3], seen.flashes[:3])
        _row("clicks", truth.clicks[:3], seen.clicks[:3])
        _row("sound", truth.sound, *seen.spans, f"{seen.samples} samples")
        if truth.gaps:
            _row("gaps", *truth.gaps)
    for name, make in SOUNDS.items():
        signal = make(folder / name)
        with av.open(str(signal.path)) as file:
            frames = list(file.decode(audio=0))
        print(f"\n{name}")
        _row("samples", signal.samples.shape[1], sum(frame.samples for frame in frames))
        _row("first", signal.late, [frames[0].time])
    for name, make in COLOURS.items():
        colours = make(folder / name)
        with av.open(str(colours.path)) as film:
            frame = next(film.decode(video=0))
            print(
                f"\n{name}: {frame.format.name}, {frame.colorspace}, {frame.color_range}", end=" "
            )
            try:
                row = frame.to_ndarray(format="rgb24")[SIZE[0] // 2, 12::24].astype(int)
                print(f"swscale is off by {np.abs(row - colours.colours).max()}")
            except OSError as error:
                print(error.strerror)


def _declared(path: Path) -> str:
    with av.open(str(path)) as film:
        video = film.streams.video[0]
        own = None if video.duration is None else round(float(video.duration * video.time_base), 4)
        whole = None if film.duration is None else film.duration / 1e6
        return f"stream {own}, file {whole}, rate {video.average_rate}, {video.guessed_rate}"


def _row(title: str, *parts: object) -> None:
    def text(part: object) -> str:
        if isinstance(part, (list, tuple)):
            return " ".join("?" if item is None else f"{item:.4f}" for item in part)
        return str(part)

    print(f"  {title:14}" + "  |  ".join(text(part) for part in parts))


if __name__ == "__main__":
    table(Path(sys.argv[1]))
