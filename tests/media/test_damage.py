"""The campaign of damaged clips, short, and what undamaged ones may be like."""

import av
import numpy as np
import pytest

from amid.media import MediaError, Reason, strict, video
from amid.media.audio import read_sound
from amid.media.container import check
from amid.media.video import read_frames
from tests.campaigns.damage import campaign, single_flips
from tests.media.clips import WHOLE
from tests.media.damage import behead, good, pictures, write_clip


def test_a_short_campaign(tmp_path):
    lines, passed = campaign(range(100, 102), tmp_path, workers=2)
    assert passed, "\n".join(lines)
    assert lines[-1] == (
        "96/96 damaged clips quarantined by the right reason, 16/16 good clips kept"
    )


def test_no_single_bit_of_ffv1_and_flac_is_lost(tmp_path):
    (_, line) = single_flips(range(4), tmp_path, ("mkv",))
    assert line.split() == ["mkv", "4", "0", "0"]


@pytest.mark.parametrize("degrees", [90, 180, -90])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_turned_films_are_upright_by_both_readers(tmp_path, monkeypatch, container, degrees):
    images = pictures(np.random.default_rng(0), 1.2)
    plain = write_clip(tmp_path / f"plain.{container}", images, None)
    film = write_clip(tmp_path / f"film.{container}", images, None, turned=degrees)
    upright = [np.rot90(image, degrees // 90) for image in read_frames(plain, [WHOLE], 8)[0]]
    found = read_frames(film, [WHOLE], 8)[0]
    assert np.abs(found.astype(int) - upright).max() <= (16 if container == "mp4" else 0)
    monkeypatch.setattr(video, "_by_opencv", lambda *_: None)
    (again,) = read_frames(film, [WHOLE], 8)
    assert np.abs(again.astype(int) - found).max() <= 8  # another library's colours


def test_a_film_under_another_films_name_is_a_film(tmp_path):
    rng = np.random.default_rng(0)
    path = good(tmp_path / "a.mkv", rng)
    (frames,) = read_frames(path, [WHOLE], 8)
    (other,) = read_frames(path.rename(tmp_path / "a.mp4"), [WHOLE], 8)
    np.testing.assert_array_equal(frames, other)
    for name in ("a.wav", "a.mp3"):
        path = good(tmp_path / "b.mp4", rng).rename(tmp_path / name)
        with pytest.raises(MediaError, match="is a film, not sound as its name says") as caught:
            check(path)
        assert caught.value.reason is Reason.wrong_extension


def test_a_header_whose_size_was_never_filled_in(tmp_path):
    path = behead(tmp_path / "a.avi", np.random.default_rng(0))
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(4) + data[8:])  # as a camera that lost its battery leaves it
    assert check(path) is False
    with pytest.raises(MediaError) as caught:
        read_frames(path, [WHOLE], 8)
    assert caught.value.reason is Reason.header_only


def test_a_decoder_in_want_of_memory_is_no_damage(tmp_path, monkeypatch):
    path = good(tmp_path / "a.mkv", np.random.default_rng(0))

    class Packet:
        pos = 0

        def decode(self):
            raise av.error.MemoryError(12, "Cannot allocate memory")

    with pytest.raises(MemoryError) as caught:
        strict.decoded(Packet())
    assert not isinstance(caught.value, av.error.FFmpegError)  # which would be taken for damage
    monkeypatch.setattr(strict, "decoded", lambda _: (_ for _ in ()).throw(caught.value))
    for read in (lambda: read_frames(path, [WHOLE], 8), lambda: read_sound(path, 16000)):
        with pytest.raises(MemoryError):
            read()
