import pickle

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amid.media import MediaError, Reason, Sound, conversion, picture, strict
from amid.media.conversion import colour, grey
from amid.media.film import read
from amid.media.frame_sampling import Clock, sample_indices
from tests.media.clips import (
    NAN,
    WHOLE,
    blank,
    cut,
    grid_clips,
    hear,
    looking,
    see,
    tone,
    write_both,
    write_sound,
    write_video,
)


def levels(clip: np.ndarray) -> list[int]:
    """Frame numbers of a clip of `write_video`, by their grey."""
    return [round(float(frame.mean()) / 8) for frame in clip]


def reason(path, spans=(WHOLE,), frames=8, **options) -> Reason:
    with pytest.raises(MediaError) as caught:
        see(path, spans, frames, **options)
    assert path.name in caught.value.detail
    return caught.value.reason


def test_frames_are_the_middles_of_equal_parts(tmp_path):
    path = write_video(tmp_path / "clip.avi")  # 30 frames, 1.2 s
    whole, part, short = see(path, [WHOLE, (0.4, 0.8), (0.44, 0.48)], 5)
    assert whole.shape == (5, 48, 64)
    assert whole.dtype == np.uint8
    assert levels(whole) == [3, 9, 15, 21, 27]
    assert levels(part) == [11, 13, 15, 17, 19]
    assert levels(short) == [11] * 5
    (reading,) = read(path, [looking()])
    assert reading.seconds == pytest.approx(1.2)
    assert not reading.notes


@given(
    start=st.floats(0, 0.9),
    length=st.floats(0.01, 1),
    count=st.integers(1, 200),
    frames=st.integers(1, 40),
)
def test_indices_are_in_order_and_inside(start, length, count, frames):
    seconds = count / 25
    first, last = start * seconds, min(start + length, 1) * seconds
    indices = sample_indices(first, last, Clock(np.arange(count) / 25, seconds), frames)
    assert len(indices) == frames
    assert (np.diff(indices) >= 0).all()
    assert indices.min() >= int(first * 25 - 1e-6)
    assert indices.max() <= min(count - 1, int(last * 25 + 1e-6))


def test_box_and_margin(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 25.0, (64, 48))
    picture = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) % 251
    for _ in range(10):
        writer.write(np.repeat(picture[:, :, None], 3, 2).astype(np.uint8))
    writer.release()
    (clip,) = see(path, [WHOLE], 2, box=(10 / 48, 20 / 48, 30 / 64, 60 / 64))
    np.testing.assert_array_equal(clip, [picture[10:20, 30:60]] * 2)
    (clip,) = see(path, [WHOLE], 2, box=(0.999, 1.0, 0.999, 1.0))
    np.testing.assert_array_equal(clip, [picture[-1:, -1:]] * 2)

    path = write_video(tmp_path / "levels.avi")
    early, middle, late = see(path, [(0.04, 0.08), (0.48, 0.56), (1.12, 1.2)], 4, margin=0.08)
    assert levels(early) == [0, 1, 2, 3]
    assert levels(middle) == [10, 12, 13, 15]
    assert levels(late) == [26, 27, 28, 29]


def test_spans_outside_the_clip_are_refused_alone(tmp_path):
    path = write_video(tmp_path / "clip.avi")  # 1.2 s
    spans = [(0.0, 1.0), (1.0, 1.5), (-0.1, 0.5), (0.5, 0.5), (NAN, 0.6), (1.0, 1.23), (1.3, NAN)]
    (reading,) = read(path, [looking(spans, 4)])
    result = reading.clips
    assert [isinstance(item, MediaError) for item in result] == [
        False, True, True, True, False, False, True,
    ]  # fmt: skip
    assert {item.reason for item in result if isinstance(item, MediaError)} == {Reason.span_outside}
    assert "1.000 to 1.500" in result[1].detail
    assert not reading.notes  # a span that ends less than a frame after the clip is not counted


def test_spans_that_end_a_little_after_the_clip_end_with_it(tmp_path):
    path = write_video(tmp_path / "clip.avi")  # 1.2 s
    spans = [(0.8, 1.2), (0.8, 1.23), (0.8, 1.25), (0.8, 1.449), (0.8, 1.451), (1.2, 1.3)]
    (reading,) = read(path, [looking(spans, 5)])
    assert [isinstance(clip, MediaError) for clip in reading.clips] == [False] * 4 + [True] * 2
    assert [levels(clip) for clip in reading.clips[:4]] == [[21, 23, 25, 27, 29]] * 4
    assert reading.notes == {"clamped_spans": 2}  # those later than a frame of 0.04 s


def test_without_a_number_all_frames_that_begin_in_the_span_are_wanted(tmp_path):
    path = write_video(tmp_path / "clip.avi")
    clips = see(path, [WHOLE, (0.4, 0.52), (0.41, 0.53), (0.41, 0.43)], None)
    assert [levels(clip) for clip in clips] == [
        list(range(30)),
        [10, 11, 12],
        [11, 12, 13],
        [10],  # none begins in it: the one that is shown
    ]


class Counted:
    """How often files are opened, frames decoded and pictures made."""

    def __init__(self, monkeypatch):
        self.opened = self.frames = self.pieces = self.converted = 0
        opened, decoder = strict.opened, strict.decoder

        def open_counted(path):
            self.opened += 1
            return opened(path)

        def decoder_counted(stream):
            decode = decoder(stream)

            def decode_counted(packet):
                found = decode(packet)
                if stream.type == "video":
                    self.frames += len(found)
                else:
                    self.pieces += len(found)
                return found

            return decode_counted

        monkeypatch.setattr(strict, "opened", open_counted)
        monkeypatch.setattr(strict, "decoder", decoder_counted)

    def convert(self, image):
        self.converted += 1
        return grey(image)


def test_each_frame_is_decoded_once_and_only_wanted_ones_are_converted(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.avi")
    counted = Counted(monkeypatch)
    see(path, [(0.0, 0.4), (0.2, 0.6), (0.2, 0.6)], 3, convert=counted.convert)
    assert (counted.opened, counted.frames, counted.converted) == (1, 30, 6)


def test_frames_wait_to_be_converted_together(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.avi")  # 30 frames of 48 x 64
    spans, waited, convert = [(0.0, 0.4), (0.2, 0.6), WHOLE], [], picture.PictureTrack._convert

    def convert_seen(track):
        waited.append([number for number, *_ in track.waiting])
        convert(track)

    monkeypatch.setattr(picture.PictureTrack, "_convert", convert_seen)
    for frames, together in (
        (1, [[1], [5], [6], [8], [10], [13], [15], [25], []]),
        (3, [[1, 5, 6], [8, 10, 13], [15, 25]]),
        (1000, [[1, 5, 6, 8, 10, 13, 15, 25]]),
    ):
        waited.clear()
        monkeypatch.setattr(picture, "BATCH", frames * 48 * 64)
        clips = see(path, spans, 3)
        assert waited == together
        assert [levels(clip) for clip in clips] == [[1, 5, 8], [6, 10, 13], [5, 15, 25]]


@pytest.mark.parametrize("name", ["clip.avi", "clip.mpg"])
@pytest.mark.parametrize("together", [1, 1000])
def test_a_picture_that_cannot_be_converted_is_damage(tmp_path, monkeypatch, name, together):
    path = write_video(tmp_path / name, codec="FFV1" if name == "clip.avi" else "PIM1")

    def refuse(self, frame):
        raise av.error.FFmpegError(22, "not a kind of picture that anyone knows")

    monkeypatch.setattr(picture, "BATCH", together * 48 * 64)
    monkeypatch.setattr(conversion.Painter, "_convert", refuse)
    for spans in ([WHOLE], [(1.1, 1.2)]):  # on the way, and the last frame alone
        assert reason(path, spans, 1) is Reason.corrupt

    def want_memory(self, frame):
        raise av.error.MemoryError(12, "Cannot allocate memory")

    monkeypatch.setattr(conversion.Painter, "_convert", want_memory)
    with pytest.raises(MemoryError):
        see(path)


def test_one_pass_gives_picture_and_sound(tmp_path, monkeypatch):
    path = write_both(tmp_path / "clip.mkv", np.arange(30) / 25, tone(1.2))
    (pieces,) = see(path, [WHOLE], 5)
    sound = hear(path)
    counted = Counted(monkeypatch)
    pictures, heard = read(
        path, [looking([WHOLE], 5, convert=counted.convert), Sound([WHOLE, (0.4, 0.6)], 16000)]
    )
    assert (counted.opened, counted.frames, counted.converted) == (1, 30, 5)
    assert counted.pieces
    np.testing.assert_array_equal(pictures.clips[0], pieces)
    np.testing.assert_array_equal(heard.clips[0], sound)
    np.testing.assert_array_equal(heard.clips[1], sound[6400:9600])


def test_what_is_not_wanted_is_not_decoded(tmp_path, monkeypatch):
    path = write_both(tmp_path / "clip.mkv", np.arange(30) / 25, tone(1.2))
    counted = Counted(monkeypatch)
    hear(path)
    assert (counted.opened, counted.frames) == (1, 1)  # the film's clock begins with that
    counted.pieces = 0
    see(path)
    assert counted.pieces == 0


@pytest.mark.parametrize("share", [0.95, 0.6, 0.2])
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.avi", "MJPG"),
        ("b.avi", "FFV1"),
        ("c.mp4", "mp4v"),
        ("d.mkv", "FFV1"),
        ("e.webm", "VP80"),
    ],
)
def test_cut_files_are_truncated(tmp_path, name, codec, share):
    path = write_video(tmp_path / name, codec=codec)
    assert isinstance(see(path, [WHOLE], 8)[0], np.ndarray)
    # A fifth of the small FFV1 file is less than an .avi header with its index to be filled.
    short = Reason.header_only if (name, share) == ("b.avi", 0.2) else Reason.truncated
    assert reason(cut(path, share)) is short


@pytest.mark.parametrize("codec", ["MJPG", "FFV1", "XVID"])
def test_holes_are_zeroed(tmp_path, codec):
    path = write_video(tmp_path / "clip.avi", codec=codec)
    assert reason(blank(path, 0.5, 0.8)) is Reason.zeroed


def test_files_without_a_moving_picture(tmp_path):
    assert reason(write_sound(tmp_path / "a.wav", tone(1.0))) is Reason.no_picture
    assert reason(write_video(tmp_path / "one.avi", frames=1)) is Reason.too_few_frames
    noise = tmp_path / "noise.avi"
    noise.write_bytes(np.random.default_rng(0).bytes(20000))
    assert reason(noise) is Reason.not_media
    headless = tmp_path / "headless.avi"
    whole = write_video(tmp_path / "clip.avi").read_bytes()
    headless.write_bytes(whole[:12] + bytes(200) + whole[212:])
    assert reason(headless) is Reason.corrupt
    page = tmp_path / "page.mpg"
    page.write_text("<html>Sign in to download</html>")
    assert reason(page) is Reason.not_media


def test_sound_of_another_length_is_noticed(tmp_path):
    times = np.arange(30) / 25
    good = write_both(tmp_path / "good.mkv", times, tone(1.1))
    assert levels(see(good, [WHOLE], 3)[0]) == [5, 15, 25]
    short = write_both(tmp_path / "short.mkv", times, tone(0.8))
    assert reason(short) is Reason.durations_disagree


def test_a_variable_frame_rate_is_sampled_by_time(tmp_path):
    # 20 frames in 0.8 s, then 10 in 2 s.
    times = [*(np.arange(20) / 25), *(0.8 + np.arange(10) / 5)]
    path = write_both(tmp_path / "clip.mkv", times)
    (clip,) = see(path, [WHOLE], 3)
    assert levels(clip) == [11, 22, 27]  # shown at 0.44, 1.32 and 2.20 s of 2.64 s
    part, late = see(path, [(0.2, 0.4), (1.0, 1.8)], 2)
    assert (levels(part), levels(late)) == ([6, 8], [22, 24])


def test_a_header_that_is_one_off_moves_no_frame(tmp_path):
    path = write_video(tmp_path / "clip.avi")
    data = path.read_bytes()
    assert data.count((30).to_bytes(4, "little")) >= 2  # the counts in avih and strh
    expected = levels(see(path, [WHOLE], 15)[0])
    for declared in (29, 31):
        at = data.index(b"strh") + 8 + 32
        avih = data.index(b"avih") + 8 + 16
        changed = bytearray(data)
        changed[at : at + 4] = changed[avih : avih + 4] = declared.to_bytes(4, "little")
        path.write_bytes(changed)
        with av.open(str(path)) as film:
            assert film.streams.video[0].frames == declared
        assert levels(see(path, [WHOLE], 15)[0]) == expected


def test_errors_survive_the_way_between_processes():
    error = pickle.loads(pickle.dumps(MediaError(Reason.silent, "a.wav is silent")))
    assert (error.reason, error.detail) == (Reason.silent, "a.wav is silent")
    assert str(error) == "silent: a.wav is silent"


def test_real_clips(shared, tmp_path, capfd):
    clips = grid_clips(shared, tmp_path, 20)
    for path, spans in clips.items():
        assert len(spans) == 6
        result = see(path, spans, 8, box=(0.6389, 0.8333, 0.3222, 0.5556))
        assert [item.shape for item in result] == [(8, 28, 42)] * 6
    path = next(iter(clips))
    for share in np.linspace(0.03, 0.995, 12):
        assert reason(cut(path, share)) in (Reason.truncated, Reason.durations_disagree)
    assert reason(blank(path, 0.3, 0.5)) is Reason.zeroed
    assert capfd.readouterr().err == ""


def test_colour_is_red_first_and_grey_is_its_mix(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 25.0, (64, 48))
    for number in range(10):
        image = np.zeros((48, 64, 3), np.uint8)
        image[:, :32] = (0, 20, 200 + number)  # blue first: the left half is red
        image[:, 32:] = (180, 20, 10)
        writer.write(image)
    writer.release()
    plain = see(path, [WHOLE], 5)[0]
    assert plain.shape == (5, 48, 64)
    boxed = see(path, [WHOLE], 5, box=(0.0, 0.5, 0.0, 0.5), convert=colour)[0]
    assert boxed.shape == (5, 24, 32, 3)
    assert boxed.dtype == np.uint8
    # FFV1 stores brightness and two colour differences, so a level may move by a few.
    wanted = [(201, 20, 0), (203, 20, 0), (205, 20, 0), (207, 20, 0), (209, 20, 0)]
    np.testing.assert_allclose(boxed.mean(axis=(1, 2)), wanted, atol=4)
    coloured = see(path, [WHOLE], 5, convert=colour)[0]
    mixed = coloured @ np.array([0.299, 0.587, 0.114])  # (5, 48, 64)
    np.testing.assert_allclose(plain, mixed, atol=0.51)
    small = see(path, [WHOLE], 5, convert=lambda image: image[::24, ::32].copy())[0]
    np.testing.assert_array_equal(small[..., ::-1], coloured[:, ::24, ::32])
