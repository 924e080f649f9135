import numpy as np
import pytest

from amid.media import MediaError, Reason, Sound
from amid.media.audio import resample
from amid.media.film import read
from tests.media.clips import (
    NAN,
    WHOLE,
    cut,
    grid_clips,
    hear,
    tone,
    write_both,
    write_sound,
    write_video,
)


def reason(path, rate=16000) -> Reason:
    with pytest.raises(MediaError) as caught:
        hear(path, rate)
    assert path.name in caught.value.detail
    return caught.value.reason


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_lossless_files_come_back_as_written(tmp_path, name):
    signal = tone(1.0)
    path = write_sound(tmp_path / name, signal)
    sound = hear(path, 16000)
    assert sound.dtype == np.float32
    np.testing.assert_allclose(sound, signal, atol=2 / 32768)
    (reading,) = read(path, [Sound([WHOLE], 16000)])
    assert reading.seconds == 1.0
    assert not reading.notes


def test_channels_are_averaged(tmp_path):
    left, right = tone(0.5, hertz=300.0), tone(0.5, hertz=700.0)
    path = write_sound(tmp_path / "a.wav", np.stack([left, right], 1), subtype="FLOAT")
    np.testing.assert_allclose(hear(path, 16000), (left + right) / 2, atol=1e-6)


def test_opposite_sides_give_the_louder_one(tmp_path):
    left = tone(0.5)
    path = write_sound(tmp_path / "a.wav", np.stack([0.8 * left, -0.8 * left], 1), subtype="FLOAT")
    (reading,) = read(path, [Sound([WHOLE], 16000)])
    np.testing.assert_allclose(np.abs(reading.clips[0]), np.abs(0.8 * left), atol=1e-6)
    assert reading.notes == {"one_channel": 1}
    # Of 0.98 against -1 the mean keeps a hundredth of the loudness, a ten thousandth of the power.
    path = write_sound(tmp_path / "b.wav", np.stack([0.98 * left, -left], 1), subtype="FLOAT")
    (reading,) = read(path, [Sound([WHOLE], 16000)])
    np.testing.assert_allclose(reading.clips[0], -left, atol=1e-6)
    assert reading.notes == {"one_channel": 1}


def test_sides_that_only_differ_are_averaged(tmp_path):
    left = tone(0.5)
    path = write_sound(tmp_path / "a.wav", np.stack([0.8 * left, -left], 1), subtype="FLOAT")
    (reading,) = read(path, [Sound([WHOLE], 16000)])
    np.testing.assert_allclose(reading.clips[0], -0.1 * left, atol=1e-6)
    silent = np.stack([left, 0 * left], 1)
    assert not reading.notes
    (reading,) = read(write_sound(path, silent, subtype="FLOAT"), [Sound([WHOLE], 16000)])
    np.testing.assert_allclose(reading.clips[0], left / 2, atol=1e-6)
    assert not reading.notes


def test_spans_of_sound(tmp_path):
    signal = tone(1.0)
    signal[8000:9600] = 0
    path = write_sound(tmp_path / "a.wav", signal, subtype="FLOAT")
    spans = [(0.1, 0.3), (NAN, 0.2), (0.9, NAN), (0.9, 1.04), (0.9, 1.2), (0.5, 0.6), (0.9, 1.26)]
    (reading,) = read(path, [Sound(spans, 16000)])
    for clip, (first, last) in zip(
        reading.clips, [(1600, 4800), (0, 3200), *[(14400, 16000)] * 3], strict=False
    ):
        np.testing.assert_allclose(clip, signal[first:last], atol=1e-6)
    assert [clip.reason for clip in reading.clips[5:]] == [Reason.silent, Reason.span_outside]
    assert "no sound from 0.500 to 0.600 s" in reading.clips[5].detail
    assert reading.notes == {"clamped_spans": 1}  # by more than 0.05 s


@pytest.mark.parametrize(
    ("name", "subtype", "step"),
    [
        ("a.aiff", "PCM_16", 2**-15),
        ("a.w64", "PCM_U8", 2**-7),
        ("a.w64", "PCM_32", 2**-20),
        ("a.w64", "DOUBLE", 2**-20),
    ],
)
def test_number_formats_and_channels_by_pyav(tmp_path, name, subtype, step):
    left, right = tone(0.5, hertz=300.0), tone(0.5, hertz=700.0)
    path = write_sound(tmp_path / name, np.stack([left, right], 1), subtype=subtype)
    np.testing.assert_allclose(hear(path, 16000), (left + right) / 2, atol=2 * step)


@pytest.mark.parametrize(("source", "target"), [(44100, 16000), (22050, 16000), (8000, 16000)])
@pytest.mark.parametrize("hertz", [50.0, 1000.0, 3600.0])
def test_resampling_keeps_tones_in_place(source, target, hertz):
    got = resample(tone(1.0, source, hertz), source, target)
    want = tone(1.0, target, hertz)
    assert got.dtype == np.float32
    assert len(got) == target
    np.testing.assert_allclose(got[800:-800], want[800:-800], atol=1e-3)


def test_resampling_leaves_no_alias():
    got = resample(tone(1.0, 44100, 9000.0), 44100, 16000)
    assert np.abs(got[800:-800]).max() < 1e-3


def test_resampling_wraps_nothing_around():
    click = np.zeros(22050, np.float32)
    click[-1] = 1.0
    assert np.abs(resample(click, 22050, 16000)[:8000]).max() < 1e-4


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3"])
def test_cut_files_are_truncated(tmp_path, name, share):
    path = write_sound(tmp_path / name, 0.5 * tone(3.0) + 0.1 * tone(3.0, hertz=1234.5))
    assert len(hear(path, 16000)) == 48000
    assert reason(cut(path, share)) is Reason.truncated


def test_samples_that_are_no_sound(tmp_path):
    signal = tone(0.5)
    assert reason(write_sound(tmp_path / "zero.wav", np.zeros(800))) is Reason.silent
    assert reason(write_sound(tmp_path / "none.wav", np.zeros(0))) is Reason.no_sound
    signal[100] = np.nan
    path = write_sound(tmp_path / "nan.wav", signal, subtype="FLOAT")
    assert reason(path) is Reason.not_finite
    signal[100] = np.inf
    assert reason(write_sound(path, signal, subtype="FLOAT")) is Reason.not_finite


def test_files_without_sound(tmp_path):
    assert reason(write_video(tmp_path / "a.avi")) is Reason.no_sound
    page = tmp_path / "a.wav"
    page.write_text("<html>404</html>")
    assert reason(page) is Reason.not_media
    assert reason(tmp_path / "absent.wav") is Reason.missing_file
    page.write_bytes(np.random.default_rng(0).bytes(9999))
    assert reason(page) is Reason.not_media
    page.write_bytes(b"RIFF" + (9991).to_bytes(4, "little") + b"WAVE" + bytes(9987))
    assert reason(page) is Reason.zeroed


def test_sound_counts_from_the_start_of_the_picture(tmp_path):
    times = np.arange(30) / 25
    signal = tone(1.2)
    sound = hear(write_both(tmp_path / "a.mkv", times, signal), 16000)
    np.testing.assert_allclose(sound, signal, atol=1e-4)
    path = write_both(tmp_path / "late.mkv", times, signal[3200:], sound_start=0.2)
    late = hear(path, 16000)
    assert not late[:3200].any()
    np.testing.assert_allclose(late[3200:], signal[3200:], atol=1e-4)


def test_picture_of_another_length_is_noticed(tmp_path):
    path = write_both(tmp_path / "a.mkv", np.arange(30) / 25, tone(0.8))
    assert reason(path) is Reason.durations_disagree


def test_real_clips(shared, tmp_path):
    clips = grid_clips(shared, tmp_path, 20)
    for path in clips:
        sound = hear(path, 16000)
        # 131,328 samples at 44.1 kHz from the first frame on: nothing is shifted or lost.
        assert len(sound) == round(131328 * 16000 / 44100)
        assert 0.01 < np.abs(sound).max() <= 1.0
        assert 2.9 < len(sound) / 16000 < 3.0
    path = next(iter(clips))
    for share in np.linspace(0.03, 0.995, 12):
        assert reason(cut(path, share)) in (Reason.truncated, Reason.durations_disagree)
