"""The campaign of damaged clips, short, and what undamaged ones may be like."""

import shutil
from functools import partial

import av
import numpy as np
import pytest

from amid.media import MediaError, Reason, strict
from amid.media.container import check
from tests.campaigns.damage import campaign, single_flips
from tests.media.clips import both, hear, see
from tests.media.damage import behead, flip, good, pictures, write_clip
from tests.media.films import FILMS


@pytest.mark.slow
def test_a_short_campaign(tmp_path, films):
    made = {name: partial(shutil.copy, films[name].path) for name in FILMS}
    lines, passed = campaign(range(100, 101), tmp_path, 2, made)
    assert passed, "\n".join(lines)
    assert lines[-1] == (
        "48/48 damaged clips quarantined by the right reason, "
        f"{8 + len(FILMS)}/{8 + len(FILMS)} good clips kept"
    )


def test_no_single_bit_of_ffv1_and_flac_is_lost(tmp_path):
    (_, line) = single_flips(range(4), tmp_path, ("mkv",))
    assert line.split() == ["mkv", "4", "0", "0"]


@pytest.mark.parametrize("degrees", [90, 180, -90])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_turned_films_are_upright(tmp_path, container, degrees):
    images = pictures(np.random.default_rng(0), 1.2)
    plain = write_clip(tmp_path / f"plain.{container}", images, None)
    film = write_clip(tmp_path / f"film.{container}", images, None, turned=degrees)
    upright = [np.rot90(image, degrees // 90) for image in see(plain)[0]]
    found = see(film)[0]
    assert np.abs(found.astype(int) - upright).max() <= (16 if container == "mp4" else 0)


def test_a_film_under_another_films_name_is_a_film(tmp_path):
    rng = np.random.default_rng(0)
    path = good(tmp_path / "a.mkv", rng)
    (frames,) = see(path)
    (other,) = see(path.rename(tmp_path / "a.mp4"))
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
        see(path)
    assert caught.value.reason is Reason.header_only


def test_a_decoder_in_want_of_memory_is_no_damage(tmp_path, monkeypatch):
    path = good(tmp_path / "a.mkv", np.random.default_rng(0))

    def decode(_):
        raise av.error.MemoryError(12, "Cannot allocate memory")

    monkeypatch.setattr(strict, "decoder", lambda _: decode)
    for read in (lambda: see(path), lambda: hear(path)):
        with pytest.raises(MemoryError) as caught:
            read()
        assert not isinstance(caught.value, av.error.FFmpegError)  # which would be taken for damage


def test_damage_is_heard_each_time(tmp_path):
    """PyAV, left alone, swallows a message that equals the last one, of another file even."""
    path = flip(tmp_path / "a.mp4", np.random.default_rng(1), every=0)
    found = [[reading.clips[0] for reading in both(path)] for _ in range(3)]
    assert [sound.reason for _, sound in found] == [Reason.corrupt] * 3
    assert len({sound.detail for _, sound in found}) == 1


@pytest.mark.parametrize("container", ["mp4", "mkv", "avi", "mpg"])
def test_whatever_was_read_before_changes_nothing(tmp_path, container):
    clips = [flip(tmp_path / f"{n}.{container}", np.random.default_rng(n)) for n in range(4)]
    clips.append(good(tmp_path / f"good.{container}", np.random.default_rng(0)))
    alone = {path: [str(r.clips[0]) for r in both(path)] for path in clips}
    for path in [*clips[::-1], *clips[1::2], *clips[::2]]:
        assert [str(reading.clips[0]) for reading in both(path)] == alone[path]
