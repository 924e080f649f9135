import numpy as np
import pytest

from amid.media import MediaError, Reason, Sound
from amid.media.container import check, is_text
from amid.media.film import read_one
from tests.media.clips import cut, tone, write_sound, write_video


@pytest.mark.parametrize("name", ["clip.avi", "clip.mp4", "clip.wav"])
def test_whole_files_keep_their_promise(tmp_path, name):
    path = tmp_path / name
    if name.endswith(".wav"):
        write_sound(path, tone(1.0))
    else:
        write_video(path, codec="MJPG" if name.endswith(".avi") else "mp4v")
    assert check(path) is True


@pytest.mark.parametrize("share", [0.999, 0.9, 0.5, 0.1])
@pytest.mark.parametrize("name", ["clip.avi", "clip.wav"])
def test_riff_files_that_were_cut_are_truncated(tmp_path, name, share):
    path = tmp_path / name
    if name.endswith(".wav"):
        write_sound(path, tone(1.0))
    else:
        write_video(path, codec="MJPG")
    with pytest.raises(MediaError, match="missing") as caught:
        check(cut(path, share))
    assert caught.value.reason is Reason.truncated


def test_a_wav_whose_size_was_never_filled_in_promises_nothing(tmp_path):
    path = write_sound(tmp_path / "clip.wav", tone(0.1))
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert check(path) is False


def test_program_stream_packets(tmp_path):
    pack = b"\0\0\1\xba" + bytes([0x21]) + bytes(7)
    packet = b"\0\0\1\xe0" + (100).to_bytes(2, "big") + bytes(range(1, 101))
    pack2 = b"\0\0\1\xba" + bytes([0x44]) + bytes(8) + bytes([0xF8 | 2]) + b"\xff\xff"
    path = tmp_path / "clip.mpg"
    for start in (pack, pack2):
        whole = start + packet + packet + start + packet + b"\0\0\1\xb9"
        path.write_bytes(whole)
        assert check(path) is False  # it has no length that could be checked
        path.write_bytes(whole[:-5])  # in the last packet
        with pytest.raises(MediaError, match="at least 1 are missing"):
            check(path)
        path.write_bytes(start + packet + bytes(40) + start + packet)  # padding is no damage
        assert check(path) is False


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.empty_file),
        (b"<!DOCTYPE html>\n<html><title>404 Not Found</title></html>", Reason.not_media),
        ("version https://git-lfs.github.com/spec/v1\r\noid é".encode(), Reason.not_media),
    ],
)
def test_files_that_are_no_media(tmp_path, data, reason):
    path = tmp_path / "clip.mpg"
    path.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        check(path)
    assert caught.value.reason is reason
    assert "clip.mpg" in caught.value.detail


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "absent.mpg", tmp_path):
        with pytest.raises(MediaError) as caught:
            check(path)
        assert caught.value.reason is Reason.missing_file


def test_text_is_told_from_media():
    assert is_text("ünï".encode()[:-1])  # cut inside the last character
    assert not is_text(b"RIFF\x10\0\0\0AVI ")
    assert not is_text(b"caf\xe9 au lait")
    assert not is_text(b"YUV4MPEG2 W4 H4 F25:1\nFRAME\n" + b"@" * 24)


def sphere(path, fill, samples, coding="pcm"):
    """A SPHERE file of int16 (samples,) as NIST writes it: 1024 bytes of header."""
    lines = ["NIST_1A", "   1024", "database_id -s5 TIMIT", "channel_count -i 1"]
    lines += [f"sample_count -i {len(samples)}", "sample_n_bytes -i 2", "sample_rate -i 16000"]
    lines += ["sample_byte_format -s2 01", f"sample_coding -s{len(coding)} {coding}", "end_head"]
    head = "\n".join([*lines, ""]).encode()
    path.write_bytes(head.ljust(1024, fill) + samples.astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("fill", [b"\0", b" ", b"\n"])
def test_sphere_headers_are_no_text(tmp_path, fill):
    samples = np.round(8000 * np.sin(np.arange(8000) / 10)).astype(np.int16)
    path = sphere(tmp_path / "sa1.wav", fill, samples)
    assert check(path) is True
    (heard,) = read_one(path, Sound([(np.nan, np.nan)], 16000))
    np.testing.assert_array_equal(heard * 32768, samples)


def test_a_sphere_file_that_was_cut_is_truncated(tmp_path):
    samples = np.arange(1, 8001)
    path = sphere(tmp_path / "sa1.wav", b" ", samples)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(MediaError, match="at least 100 are missing") as caught:
        check(path)
    assert caught.value.reason is Reason.truncated
    path.write_bytes(whole[:1024])
    with pytest.raises(MediaError) as caught:
        check(path)
    assert caught.value.reason is Reason.header_only
    path.rename(tmp_path / "sa1.mp4")
    with pytest.raises(MediaError, match="is sound, not a film"):
        check(tmp_path / "sa1.mp4")
    # the length of what is compressed is not told
    assert check(sphere(path, b" ", samples[:4000], "pcm,embedded-shorten-v2.00")) is False
