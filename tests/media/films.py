"""Small and valid films of every awkward kind, each with what a correct player would show."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

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
    sound: tuple[float, float] | None = None  # where the sound starts and ends
    gaps: tuple[tuple[float, float], ...] = ()  # spans inside it without any sound
    slack: float = 0.0005  # by which the file's own stamps are rounded


class Signal(NamedTuple):
    """What is true of a file of sound."""

    path: Path
    samples: np.ndarray  # (channels, samples) float
    rate: int
    decibels: float = float("inf")  # by which its samples are above what coding changed of them


Packets = list[av.Packet]


# The clapper


def picture(number: int, flash: bool, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(3/2 rows, columns) uint8, as yuv420p: dark waves that wander, or one bright area.

    Ten squares in its last rows show `number` in binary.
    """
    rows, columns = np.mgrid[: size[0], : size[1]]
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
    return sum((square > middle) << digit for digit, square in enumerate(squares))


def bright(luma: np.ndarray) -> bool:
    return bool(luma[:-16].mean() > 150)


def clapper_sound(seconds: float, clicks: Sequence[float], rate: int) -> np.ndarray:
    """(samples,) float32: a soft tone, and a loud tone of 4 ms at each of `clicks`."""
    time = np.arange(round(seconds * rate)) / rate
    signal = 0.01 * np.sin(2 * np.pi * 220 * time)
    for click in clicks:
        first = int(np.ceil(click * rate - 1e-6))
        part = time[first : first + round(CLICK * rate)] - click
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
    clicks = tuple(click + 1105 / 48000 for click in film.clicks)
    return film._replace(clicks=clicks)


def avi_h264(path: Path) -> Truth:
    """H.264 with B-frames, of whose order of display AVI says nothing."""
    return write(path, "libx264", "pcm_s16le", options=X264, change=one_by_one)


def avi_mp3(path: Path) -> Truth:
    film = write(path, "mpeg4", "libmp3lame", options=GOOD, tag="XVID", change_sound=moved(1105))
    return film._replace(clicks=tuple(click + 1105 / 48000 for click in film.clicks))


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
    """The sound starts 0.3 s after the picture: an empty edit."""
    return write(path, "libx264", "aac", options=X264, sound_start=0.3)


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
    """Two pictures: the second one, of 2 s, is shown until the sound ends at 8 s."""
    return write(path, "libx264", "aac", options=X264, times=(0.0, 2.0), seconds=8.0)


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
