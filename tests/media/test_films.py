"""Every film of tests/media/films.py is read as a correct player shows it."""

import base64
import hashlib
import lzma
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from amid.media import MediaError, Pictures, Reason, Sound, conversion
from amid.media.film import read, read_one
from tests.media import clapper
from tests.media.clips import NAN, WHOLE, both, hear, looking, see, tone, write_sound
from tests.media.films import (
    COLOURS,
    FILMS,
    GOOD,
    MATRICES,
    NO_B,
    SIGNED,
    SIZE,
    SOUNDS,
    VP8,
    X264,
    XVID_B,
    box,
    boxes,
    clapper_sound,
    encode_sound,
    luma_and_chroma,
    picture,
    write,
)

# Coders of sound work by blocks: the last one may go on after the film.
BLOCK = 0.024
# Where telecine ends, FFmpeg, the program too, gives three frames of a program stream a stamp that
# is up to two frames late; two of them get the same one, so that the first is never shown.
MISTAKEN = {"telecine_ps.mpg": ((103, 108), 0.067)}


def digest(image):
    """(32,) uint8: two pictures are the same if this is."""
    return np.frombuffer(hashlib.sha256(np.ascontiguousarray(image)).digest(), np.uint8)


def shown(path: Path, frames: int | None = None) -> tuple[np.ndarray, float]:
    """Numbers drawn onto the frames, and the seconds of the film."""
    (reading,) = read(path, [looking(frames=frames, convert=clapper.number_on)])
    if reading.seconds is None:
        raise reading.clips[0]
    return reading.clips[0][:, 0], reading.seconds


def decibels(want: np.ndarray, got: np.ndarray) -> float:
    """By how much `want` is above its difference to `got`."""
    error = float(np.square(want.astype(float) - got).sum())
    return 10 * np.log10(np.square(want.astype(float)).sum() / error) if error else np.inf


# Films


@pytest.mark.parametrize("name", FILMS)
def test_frames_and_their_times(films, name):
    truth = films[name]
    given = clapper.delivered(truth)
    if name in clapper.EDITED_INSIDE:  # the hidden part of the first frame hides it all
        assert given.numbers == truth.numbers[1:]
        assert given.times[0] == 0.0
        if name == "mp4_cut.mp4":
            assert (truth.frames, given.frames) == (63, 62)
    numbers, seconds = shown(truth.path)
    assert numbers.tolist() == list(given.numbers)
    longest = max(np.diff([*given.times, truth.seconds]))
    assert abs(seconds - truth.seconds) <= min(longest, 0.04) + truth.slack

    dense, _ = shown(truth.path, round(1000 * seconds))  # one a millisecond
    first = np.concatenate([[0], np.flatnonzero(np.diff(dense)) + 1])
    (start, stop), most = MISTAKEN.get(name, ((0, 0), 0.0))
    times = dict(zip(given.numbers, given.times, strict=True))
    found = dict(zip(dense[first].tolist(), first * seconds / len(dense), strict=True))
    for number, time in times.items():
        if start <= number < stop:
            assert abs(found.get(number, time) - time) <= most + 0.001
        else:
            assert abs(found[number] - time) <= truth.slack + 0.001


@pytest.mark.parametrize("name", FILMS)
def test_sound_and_its_clicks(films, name):
    truth = films[name]
    _, heard = both(truth.path, 2, 48000)
    (sound,) = heard.clips
    assert abs(heard.seconds - truth.sound[1]) <= BLOCK + truth.slack
    clicks = clapper.clicks_in(sound, 48000)
    assert len(clicks) == len(truth.clicks) >= 1
    assert np.abs(clicks - truth.clicks).max() <= truth.slack + 0.001
    # Silence stands for what is missing: before late sound, and where packets are.
    if truth.sound[0] > 0.1:
        missing = sound[: int((truth.sound[0] - BLOCK) * 48000)]
        assert len(missing) > 10000
        assert not missing.any()
    inside = [gap for gap in truth.gaps if gap[0] > 0]
    for start, end in inside:
        missing = sound[round((start + 0.02) * 48000) : round((end - 0.02) * 48000)]
        assert len(missing) > 7000
        assert not missing.any()
    assert heard.notes == ({"sound_gaps": len(inside)} if inside else {})


def test_mp3_in_avi_is_late_by_its_own_delay(films):
    for name in ("avi_mp3.avi", "avi_packed_mp3.avi"):
        truth = films[name]
        late = np.subtract(truth.clicks, truth.flashes)
        np.testing.assert_allclose(late, 1105 / 48000, atol=1e-9)
        assert clapper.delay(truth) == 1105 / 48000


@pytest.mark.slow
@pytest.mark.parametrize("sound", ["pcm_s16le", "libmp3lame"])
@pytest.mark.parametrize("rates", [(25, 44100), (30, 48000), (12, 22050), (50, 48000)])
@pytest.mark.parametrize(
    ("codec", "options"), [("mpeg4", GOOD), ("mpeg4", XVID_B), ("libx264", NO_B), ("libx264", X264)]
)
def test_avi_as_ffmpeg_writes_it_is_in_step(tmp_path, codec, options, rates, sound):
    rate, sound_rate = rates
    path = tmp_path / "film.avi"
    write(
        path,
        codec,
        sound,
        options=options,
        frames=2 * rate,
        rate=rate,
        sound_rate=sound_rate,
        tag="XVID" if codec == "mpeg4" else None,
        muxing=SIGNED,
    )
    seen, heard = read(
        path, [looking(frames=3000, convert=clapper.number_on), Sound([WHOLE], 16000)]
    )
    (clip,), (piece,) = seen.clips, heard.clips
    begin = np.flatnonzero(np.diff(clip[:, 1]) == 1) + 1
    flashes = begin * seen.seconds / len(clip)
    clicks = clapper.clicks_in(piece, 16000)
    assert len(flashes) == len(clicks) == 2
    assert np.abs(clicks - flashes).max() <= 0.001


@pytest.mark.parametrize("name", FILMS)
def test_flash_and_click_of_a_span_are_together(films, name):
    truth = films[name]
    found = clapper.clapped(truth, 20, seed=1)
    assert len(found.apart) == 20
    assert found.apart.max() <= found.half + 0.001
    # A frame is where its stamp says: what is left is the measure's own millisecond.
    assert found.apart.max() <= 0.001 + truth.slack


@pytest.mark.slow
@pytest.mark.parametrize("name", FILMS)
def test_one_pass_or_two_give_the_same_bytes(films, name):
    path = films[name].path
    spans = [(NAN, NAN, None), (0.3, 0.7, None), (0.1, 1.0, (0.1, 0.6, 0.2, 0.9))]
    pictures = Pictures(spans, None, convert=digest)
    sampled = Pictures(spans[:2], 5)
    sound = Sound([WHOLE, (0.3, 0.7)], 16000)
    together = read(path, [pictures, sampled, sound])
    assert all(reading.seconds is not None for reading in together)
    for request, reading in zip((pictures, sampled, sound), together, strict=True):
        (alone,) = read(path, [request])
        assert (alone.seconds, alone.notes) == (reading.seconds, reading.notes)
        for one, other in zip(alone.clips, reading.clips, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", [name for name in FILMS if "interlaced" in name])
def test_interlaced_films(films, name):
    truth = films[name]
    path = truth.path
    (first,) = see(path, frames=None, convert=digest)
    assert len(first) == truth.frames == 50
    assert len(np.unique(first, axis=0)) == 50  # no frame is lost or doubled
    see(films["dv_raw.dv"].path)
    (again,) = see(path, frames=None, convert=digest)
    np.testing.assert_array_equal(first, again)


def test_fields_are_woven_not_mixed(films):
    """As FFmpeg delivers them: lines of the two fields in turn, none of them changed."""
    (clip,) = see(films["interlaced_h264.mp4"].path, frames=None)
    (plain,) = see(films["mp4_plain.mp4"].path, frames=None)
    for number in (3, 20, 30):
        for field in (0, 1):
            want = plain[2 * number + field, field : SIZE[0] - 16 : 2].astype(int)
            got = clip[number, field : SIZE[0] - 16 : 2]
            assert np.abs(got - want).mean() < 3


# Variable rates


@pytest.mark.parametrize("name", ["uneven_mkv.mkv", "uneven_mp4.mp4"])
def test_uneven_films_are_sampled_by_time(films, name):
    # Frames 0 to 8 are shown from 0, 0.04, 0.08, 1, 1.7, 4, 4.04, 6 and 9.96 s on, to 10 s.
    path = films[name].path
    numbers, seconds = shown(path, 10)  # at 0.5, 1.5, ...
    assert seconds == pytest.approx(10.0, abs=0.002)
    assert numbers.tolist() == [2, 3, 4, 4, 6, 6, 7, 7, 7, 7]
    clips = read_one(
        path,
        looking([(0.0, 0.1), (1.65, 1.75), (4.0, 4.08), (9.9, 10.0)], 5, convert=clapper.number_on),
    )
    assert [clip[:, 0].tolist() for clip in clips] == [
        [0, 0, 1, 1, 2],  # at 0.01, 0.03, 0.05, ...
        [3, 3, 4, 4, 4],  # at 1.66, 1.68, 1.70, ...
        [5, 5, 6, 6, 6],  # at 4.008, 4.024, 4.04, ...
        [7, 7, 7, 8, 8],  # at 9.91, ..., 9.97, 9.99
    ]
    clips = read_one(
        path, looking([(0.0, 1.0), (2.0, 3.0), (3.0, 4.05)], None, convert=clapper.number_on)
    )
    assert [clip[:, 0].tolist() for clip in clips] == [[0, 1, 2], [4], [5, 6]]


@pytest.mark.parametrize("name", ["slides_mkv.mkv", "slides_mp4.mp4"])
def test_the_last_slide_is_shown_until_the_sound_ends(films, name):
    numbers, seconds = shown(films[name].path, 8)
    assert seconds == pytest.approx(8.0, abs=BLOCK)
    assert numbers.tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    assert not isinstance(see(films[name].path, [(7.0, 7.9)], 3)[0], MediaError)


# Spans


@pytest.mark.parametrize("name", ["mpg_stuffed.mpg", "mpg2_stuffed.mpg"])  # 3.000 s
def test_spans_that_end_just_after_the_film(films, name):
    path = films[name].path
    spans = [(0.01, 3.0), (0.01, 3.03), (0.01, 3.06), (0.01, 3.3)]
    pictures, sound = read(
        path, [looking(spans, 10, convert=clapper.number_on), Sound(spans, 16000)]
    )
    assert pictures.seconds == pytest.approx(3.0)
    for reading in (pictures, sound):
        whole, near, after, outside = reading.clips
        np.testing.assert_array_equal(near, whole)
        np.testing.assert_array_equal(after, whole)
        assert outside.reason is Reason.span_outside
        assert "0.010 to 3.300" in outside.detail
    assert pictures.notes == {"clamped_spans": 1}
    assert sound.notes == {"clamped_spans": 1}


# Order and kinds of streams


def copied(source: Path, target: Path, kinds: str) -> Path:
    """The film's streams in another order, without coding them again."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        streams = [old.streams.get({kind: 0})[0] for kind in kinds.split()]
        copies = {stream: new.add_stream_from_template(stream) for stream in streams}
        for packet in old.demux(streams):
            if packet.dts is not None:
                packet.stream = copies[packet.stream]
                new.mux(packet)
    return target


@pytest.mark.parametrize("name", ["mp4_plain.mp4", "webm_vp9.webm", "avi_plain.avi"])
def test_order_of_streams(films, tmp_path, name):
    path = films[name].path
    other = copied(path, tmp_path / name, "audio video")
    with av.open(str(other)) as film:
        assert film.streams[0].type == "audio"
    requests = [looking(frames=None, convert=clapper.number_on), Sound([WHOLE], 16000)]
    for one, two in zip(read(path, requests), read(other, requests), strict=True):
        assert one.seconds == pytest.approx(two.seconds, abs=1e-6)
        np.testing.assert_array_equal(one.clips[0], two.clips[0])


def test_a_stream_without_a_known_codec(films, tmp_path):
    data = bytearray(films["mp4_plain.mp4"].path.read_bytes())
    moov = box(data, (0, len(data)), b"moov")
    for kind, *track in boxes(data, *moov):
        if kind == b"trak":
            entry = box(data, track, b"mdia", b"minf", b"stbl", b"stsd")[0] + 12
            if data[entry : entry + 4] == b"avc1":
                data[entry : entry + 4] = b"zzzz"
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        see(path)
    assert caught.value.reason is Reason.corrupt
    assert "no known codec" in caught.value.detail
    assert len(hear(path))  # the sound is still there
    for name in (b"mp4a", b"esds"):
        place = data.index(name, moov[0])
        data[place : place + 4] = b"zzzy"
    path.write_bytes(data)
    for reading in both(path):
        assert reading.clips[0].reason is Reason.corrupt


def test_wmv(tmp_path):
    """Its sound's last samples come after the last packet."""
    truth = write(
        tmp_path / "a.wmv",
        "wmv2",
        "wmav2",
        options=GOOD,
        sound_options={"b": "128000"},
        form="asf",
    )
    pictures, sound = read(
        truth.path, [looking(frames=None, convert=clapper.number_on), Sound([WHOLE], 48000)]
    )
    assert pictures.clips[0][:, 0].tolist() == list(range(150))
    assert pictures.seconds == pytest.approx(6.0, abs=0.002)
    late = clapper.clicks_in(sound.clips[0], 48000) - truth.clicks
    assert np.ptp(late) < 0.001
    assert abs(late.mean()) <= 0.045  # a block of 2048 samples, which the file does not tell


def test_cover_art_is_no_picture(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        audio = file.add_stream("aac", rate=48000, layout="mono")
        cover = file.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 99, np.uint8), format="rgb24")
        file.mux(cover.encode(frame))
        file.mux(cover.encode())
        file.mux(encode_sound(audio, tone(1.0, 48000)))
    with pytest.raises(MediaError) as caught:
        see(path)
    assert caught.value.reason is Reason.no_picture
    assert len(hear(path)) == pytest.approx(16000, abs=400)


# Films that no PyAV makes, or that were joined


def theora(path: Path, name: str, packets: int = 25) -> Path:
    """Theora by the program `ffmpeg`: packets of frames that repeat the last one are empty. Number
    n is a grey of 40 + 40 n in the lower half."""
    text = Path(__file__).with_name(f"{name}.b64").read_text("ascii")
    path.write_bytes(lzma.decompress(base64.b64decode(text)))
    with av.open(str(path)) as film:
        sizes = [packet.size for packet in film.demux(video=0) if packet.dts is not None]
    assert len(sizes) == packets
    assert sizes.count(0) > 10
    return path


def grey_number(image):
    luma = image[30:, :, 1].mean() / 255 * 219 + 16
    return np.array([round((luma - 40) / 40)], np.int16)


def test_theora_repeats_frames_by_empty_packets(tmp_path):
    path = theora(tmp_path / "a.ogv", "theora")
    pictures, sound = read(path, [looking(frames=25, convert=grey_number), Sound([WHOLE], 8000)])
    assert pictures.seconds == pytest.approx(1.0)
    assert pictures.clips[0].ravel().tolist() == [0] * 5 + [1] * 7 + [2] + [3] * 11 + [4]
    assert sound.seconds == pytest.approx(1.0)
    np.testing.assert_allclose(clapper.clicks_in(sound.clips[0], 8000), [0.2, 0.52], atol=0.001)
    late, early = see(path, [(0.3, 0.46), (0.44, 0.6)], 4, convert=grey_number)
    assert (late.ravel().tolist(), early.ravel().tolist()) == ([1] * 4, [1, 2, 3, 3])


def test_theora_may_end_with_empty_packets(tmp_path):
    """Its last two frames are the one before them."""
    path = theora(tmp_path / "a.ogv", "theora_still")
    (reading,) = read(path, [looking(frames=25, convert=grey_number)])
    assert reading.seconds == pytest.approx(1.0)


def test_theora_of_hardly_any_frames_lasts_as_long_as_its_packets(tmp_path):
    """Of 41 packets few hold a frame: white from 0.8 s to 1.6 s. Such frames follow evenly, and the
    last one is still shown for a packet's time only."""
    path = theora(tmp_path / "a.ogv", "theora_slides", 41)
    (reading,) = read(path, [looking(frames=41, convert=lambda image: image[:1, :1, 0].copy())])
    assert reading.seconds == pytest.approx(41 / 25)
    white = [20 <= number < 40 for number in range(41)]
    assert [bool(level > 200) for level in reading.clips[0].ravel()] == white


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_avi_repeats_frames_by_empty_chunks(tmp_path, codec):
    slots = [0, 1, 2, 5, 6, 7, *range(12, 30), 40, 41]

    def place(packets):
        for packet, slot in zip(packets, slots, strict=True):
            packet.pts = packet.dts = slot
        return packets

    truth = write(
        tmp_path / "a.avi",
        codec,
        "pcm_s16le",
        options=GOOD if codec == "mpeg4" else NO_B,
        times=[slot / 25 for slot in slots],
        even=True,
        change=place,
    )
    numbers, seconds = shown(truth.path, 42)
    assert seconds == pytest.approx(42 / 25)
    wanted = np.searchsorted(slots, np.arange(42), side="right") - 1
    np.testing.assert_array_equal(numbers, wanted)


def joined(path: Path, sizes: list[tuple[int, int]]) -> Path:
    """25 frames of each size, in one stream of VP8, whose key frames name their own size."""
    parts = []
    for number, size in enumerate(sizes):
        part = path.with_name(f"part{number}.webm")
        write(part, "libvpx", None, options=VP8, frames=25, size=size)
        with av.open(str(part)) as film:
            parts.append([bytes(p) for p in film.demux(video=0) if p.size])
    with av.open(str(path), "w") as film:
        video = film.add_stream("libvpx", rate=25)
        video.height, video.width = sizes[0]
        video.pix_fmt = "yuv420p"
        film.start_encoding()
        for number in range(25 * len(sizes)):
            packet = av.Packet(parts[number // 25][number % 25])
            packet.stream, packet.pts, packet.dts = video, 40 * number, 40 * number
            packet.time_base, packet.duration = video.time_base, 40
            packet.is_keyframe = number % 25 == 0
            assert number % 25 or not bytes(packet)[0] & 1  # a bit that says so, in VP8
            film.mux(packet)
    return path


@pytest.mark.parametrize("suffix", ["webm", "mkv"])
def test_a_size_that_changes_on_the_way(tmp_path, suffix):
    path = joined(tmp_path / f"a.{suffix}", [(160, 192), (320, 384)])
    with av.open(str(path)) as film:
        assert {(f.height, f.width) for f in film.decode(video=0)} == {(160, 192), (320, 384)}
    (clip,) = see(path, frames=None)
    assert clip.shape == (50, 160, 192)
    # What is brought to the first size is the same picture, coarser.
    want = picture(10, flash=False, size=(320, 384))[:288].astype(float)
    want = (want.reshape(144, 2, 192, 2).mean((1, 3)) - 16) * 255 / 219
    assert np.abs(clip[35, :144] - want).mean() < 6
    (late,) = see(path, [(1.4, 1.44)], 1)  # the first size is not among what is wanted
    np.testing.assert_array_equal(late[0], clip[35])


def test_sound_whose_rate_changes_is_refused(tmp_path):
    parts = []
    for rate in (48000, 44100):
        part = tmp_path / f"{rate}.mp3"
        with av.open(str(part), "w", options={"write_xing": "0", "id3v2_version": "0"}) as file:
            stream = file.add_stream("libmp3lame", rate=rate, layout="mono")
            file.start_encoding()
            file.mux(encode_sound(stream, 0.5 * tone(1.0, rate)))
        parts.append(part.read_bytes())
    path = tmp_path / "a.mp3"
    path.write_bytes(parts[0] + parts[0])
    assert len(hear(path)) == pytest.approx(32000, abs=2000)
    path.write_bytes(parts[0] + parts[1])
    with pytest.raises(MediaError, match="the rate or number format of the sound") as caught:
        hear(path)
    assert caught.value.reason is Reason.corrupt


def test_films_joined_without_care_are_refused(tmp_path):
    """Two transport streams one after the other: the stamps begin again."""
    parts = [
        write(tmp_path / f"{n}.ts", "libx264", "aac", options=X264, frames=75, form="mpegts")
        for n in range(2)
    ]
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(part.path.read_bytes() for part in parts))
    for read_it in (see, hear):
        with pytest.raises(MediaError, match="run backwards by") as caught:
            read_it(path)
        assert caught.value.reason is Reason.corrupt


# Damage in films of a constant bit rate, which hold zeros of their own

STUFFED = ("mpg_stuffed.mpg", "mpg2_stuffed.mpg")
TIMES = 8


def judged(path: Path) -> set[Reason]:
    return {
        clip.reason
        for reading in both(path)
        for clip in reading.clips
        if isinstance(clip, MediaError)
    }


@pytest.mark.parametrize("name", STUFFED)
@pytest.mark.parametrize("way", ["zeroed", "flipped", "cut"])
def test_damage_in_stuffed_films(films, tmp_path, name, way):
    whole = films[name].path.read_bytes()
    assert not judged(films[name].path)
    path = tmp_path / name
    for seed in range(TIMES):
        rng = np.random.default_rng(seed)
        data = bytearray(whole)
        if way == "zeroed":
            first, share = rng.uniform(0.1, 0.6), rng.uniform(0.15, 0.35)
            start, end = round(first * len(data)), round((first + share) * len(data))
            data[start:end] = bytes(end - start)
        elif way == "flipped":
            for bit in rng.integers(8 * 5000, 8 * len(data), len(data) // 500):
                data[bit // 8] ^= 1 << bit % 8
        else:
            data = data[: round(rng.uniform(0.1, 0.9) * len(data))]
        path.write_bytes(data)
        found = judged(path)
        # Zeros are in these films anyway, so that other damage is taken for theirs.
        names = {"zeroed": {Reason.zeroed}, "cut": {Reason.truncated, Reason.zeroed}}
        assert found & names.get(way, {Reason.corrupt, Reason.zeroed}), (seed, found)


# Stamps that go back


@pytest.mark.parametrize(("suffix", "back"), [("mkv", 2), ("mkv", 30), ("mov", 2)])
def test_stamps_of_frames_that_run_backwards(tmp_path, suffix, back):
    """Two frames have each other's stamps: by less than a second they are sorted, unless they stand
    in a table of the file's, which is damaged then."""

    def swap(packets):
        one, two = packets[10], packets[10 + back]
        one.pts, two.pts = two.pts, one.pts
        for number, packet in enumerate(packets):
            packet.dts = number - 30
        return packets

    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as film:
        video = film.add_stream("ffv1" if suffix == "mkv" else "mpeg4", rate=25)
        video.height, video.width = SIZE
        video.pix_fmt = "yuv420p"
        packets = []
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(picture(number, flash=False), format="yuv420p")
            frame.pts = number
            packets += video.encode(frame)
        for packet in swap([*packets, *video.encode()]):
            film.mux_one(packet)
    if (suffix, back) == ("mkv", 2):
        numbers, seconds = shown(path)
        assert seconds == pytest.approx(2.0, abs=0.002)
        assert numbers.tolist() == list(range(50))
    else:
        with pytest.raises(MediaError, match="run backwards by") as caught:
            shown(path)
        assert caught.value.reason is Reason.corrupt


def test_sound_that_overlaps_loses_its_beginning(tmp_path):
    """From 3 s on it is said to be 0.1 s earlier."""

    def earlier(packets):
        for packet in packets:
            if packet.pts >= 3 * 48000:
                packet.pts, packet.dts = packet.pts - 4800, packet.dts - 4800
        return packets

    truth = write(tmp_path / "a.mkv", "libx264", "flac", options=NO_B, change_sound=earlier)
    _, heard = both(truth.path, 2, 48000)
    assert heard.seconds == pytest.approx(5.9, abs=0.01)
    clicks = clapper.clicks_in(heard.clips[0], 48000)
    wanted = [click - 0.1 * (click > 3) for click in truth.clicks]
    np.testing.assert_allclose(clicks, wanted, atol=0.01)
    assert set(heard.notes) == {"sound_overlaps"}


@pytest.mark.parametrize("later", [0, 1])
def test_stamps_that_go_to_and_fro_move_nothing(tmp_path, later):
    """Every second packet has the stamp of the one before it, or of the one after it."""

    def pairs(packets):
        stamps = [packet.pts for packet in packets]
        for number in range(3 + later, len(packets) - 1, 2):
            stamp = stamps[number + (1 if later else -1)]
            packets[number].pts = packets[number].dts = stamp
        return packets

    films = [
        write(tmp_path / f"{n}.mkv", "libx264", "aac", options=NO_B, change_sound=change)
        for n, change in enumerate((lambda packets: packets, pairs))
    ]
    (plain, moved) = (both(film.path, 2, 48000)[1] for film in films)
    assert not moved.notes
    np.testing.assert_array_equal(moved.clips[0], plain.clips[0])


# Colours


@pytest.mark.parametrize("name", COLOURS)
def test_colours(films, name):
    bars = films[name]
    (clip,) = see(bars.path, frames=2, convert=lambda image: image[:, :, ::-1].copy())
    assert clip.shape == (2, *SIZE, 3)
    got = clip[0, SIZE[0] // 2, 12::24].astype(int)  # (8, 3)
    np.testing.assert_array_equal(clip[0, 8, 12::24], got)
    wanted = bars.colours
    if bars.matrix == "bt2020c":
        # It is converted as if its luminance were not constant: greys are right, and saturated
        # colours up to 42 levels off.
        values = luma_and_chroma(bars.colours / 255, "bt2020c")
        wanted = rgb(values, "bt2020nc")
        assert np.abs(got - bars.colours).max() <= 42
        assert np.abs(got[0] - bars.colours[0]).max() <= 2
    # One level is lost by rounding the file's own values, one by FFmpeg's tables; x264 at qp 1
    # loses none of flat bars.
    assert np.abs(got - wanted).max() <= 3


def rgb(values: np.ndarray, matrix: str) -> np.ndarray:
    """(n, 3) luma, Cb and Cr -> 0 to 255, by the matrix' plain formula."""
    _, kr, kb = MATRICES[matrix]
    luma, cb, cr = values.T
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return 255 * np.stack([red, green, blue], 1).clip(0, 1)


@pytest.mark.parametrize("name", [n for n in COLOURS if "ycgco" not in n and "bt2020c" not in n])
def test_colours_are_those_of_ffmpeg(films, name):
    """Its scaler refuses the two that are left out."""
    path = films[name].path
    with av.open(str(path)) as film:
        want = next(film.decode(video=0)).to_ndarray(format="bgr24").astype(int)
    (clip,) = see(path, frames=1, convert=np.copy)
    got = clip[0, :, 12::24]  # inside the bars: at their edges chroma is interpolated
    assert np.abs(got - want[:, 12::24]).max() <= 2


def test_the_scaler_refuses_what_is_left_out(films):
    for name in ("bars_ycgco.mkv", "bars_bt2020c.mkv"):
        with av.open(str(films[name].path)) as film, pytest.raises(OSError, match="not supported"):
            next(film.decode(video=0)).to_ndarray(format="bgr24")


def test_films_of_all_kinds_share_a_scaler(films):
    """It prepares itself for each: what was converted before changes no byte."""
    alone = {}
    for name in COLOURS:
        conversion.SPARE.clear()
        (alone[name],) = see(films[name].path, frames=2, convert=np.copy)
    names = list(COLOURS)
    for name in [*names[::-1], *names[1::2], *names[::2]]:
        assert len(conversion.SPARE) == 1
        (clip,) = see(films[name].path, frames=2, convert=np.copy)
        np.testing.assert_array_equal(clip, alone[name])


# Sounds

# Samples that coders add at the end, where their files do not say how many belong to the sound.
ADDED = {
    "wav_mp3.wav": 1920,
    "wav_adpcm_ms.wav": 1728,
    "wav_adpcm_ima.wav": 1968,
    "m4a_as_mp4.mp4": 256,
}


@pytest.mark.parametrize("name", [name for name in SOUNDS if name != "wav_nan.wav"])
def test_sounds(films, name):
    signal = films[name]
    (reading,) = read(signal.path, [Sound([WHOLE], signal.rate)])
    (got,) = reading.clips
    assert not isinstance(got, MediaError), got
    want = signal.samples[0]  # of the two sides of wav_opposite, the first of the two loudest
    assert len(got) == len(want) + ADDED.get(name, 0)
    assert reading.seconds == len(got) / signal.rate
    part = got[signal.late : signal.late + len(want)]
    assert decibels(want[: len(part)], part) >= signal.decibels
    # And it is nowhere else: a sample earlier or later is worse.
    if np.isfinite(signal.decibels):
        for shift in (-3, 3):
            assert decibels(want[100:-100], np.roll(part, shift)[100 : len(want) - 100]) < min(
                20, decibels(want[100:-100], part[100 : len(want) - 100])
            )
    assert reading.notes == ({"one_channel": 1} if name == "wav_opposite.wav" else {})


def test_sound_that_is_not_finite(films):
    with pytest.raises(MediaError) as caught:
        hear(films["wav_nan.wav"].path)
    assert caught.value.reason is Reason.not_finite
    assert "1 of 96000 samples" in caught.value.detail


@pytest.mark.parametrize("rate", [16000, 22050, 32000])
def test_sounds_at_another_rate(films, rate):
    signal = films["caf.caf"]
    (reading,) = read(signal.path, [Sound([WHOLE, (0.5, 1.0)], rate)])
    whole, part = reading.clips
    assert len(whole) == 2 * rate
    np.testing.assert_array_equal(part, whole[rate // 2 : rate])


def test_clicks_stay_in_place_at_another_rate(tmp_path):
    path = write_sound(tmp_path / "a.wav", clapper_sound(3.0, [0.5, 1.5, 2.5], 44100), 44100)
    np.testing.assert_allclose(clapper.clicks_in(hear(path), 16000), [0.5, 1.5, 2.5], atol=0.0002)


def test_a_wav_whose_header_was_never_filled_in(tmp_path):
    path = write_sound(tmp_path / "a.wav", tone(1.0))
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    struct.pack_into("<I", data, place, 0xFFFFFFFF)  # as a recorder leaves it
    struct.pack_into("<I", data, 4, 0xFFFFFFFF)
    path.write_bytes(data)
    np.testing.assert_allclose(hear(path), tone(1.0), atol=2 / 32768)
