"""What can be told of a media file from its outermost structure, without decoding.

Decoders take a file that was cut short for a shorter one: FFmpeg reads a cut .wav to its end with
no more than a warning, and an MPEG program stream promises no length at all, so that FFmpeg's frame
count shrinks with the file. The sizes written in headers and packets show the cut.
"""

from __future__ import annotations

import codecs
import mmap
import os
import re
import stat
import struct
from pathlib import Path
from typing import BinaryIO

from amid.media import MediaError, Reason

SPHERE = b"NIST_1A"  # NIST's SPHERE, as in TIMIT: a header of text, filled with blanks or newlines
# Of media, though their first bytes may be text: SPHERE, raw video of YUV4MPEG2, speech of AMR.
TEXT_HEADERS = (SPHERE, b"YUV4MPEG2 ", b"#!AMR")
SIGNATURES = (b"RIFF", b"\0\0\1\xba", b"\x1aE\xdf\xa3", b"fLaC", b"OggS", b"ID3", b"FLV", SPHERE)
PADDING_LIMIT = 256  # zero bytes in a row that media may hold
HEADER_SLACK = 32  # bytes of headers inside the part that holds the media

# What the first bytes show, and what a name promises. Films are not told from one another: FFmpeg
# reads each under any name, and downloads often have another one's.
CONTENTS = {
    "a picture": (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*"),
    "an archive": (b"PK\3\4", b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf", b"%PDF"),
    "sound": (b"fLaC", b"ID3", SPHERE),
    "a film": (b"\0\0\1\xba", b"\x1aE\xdf\xa3", b"FLV"),
}
RIFF_CONTENTS = {b"WAVE": "sound", b"AVI ": "a film", b"WEBP": "a picture"}
NAMED = dict.fromkeys((".wav", ".flac", ".mp3"), "sound") | dict.fromkeys(
    (".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".flv", ".wmv"), "a film"
)
BACKWARDS = 1.0  # seconds by which stamps may run backwards and be in want of sorting only
UNKNOWN_SIZE = (0, 0xFFFFFFFF)  # written by programs that could not go back to the header


def check(path: Path) -> bool:
    """Raise MediaError if `path` is missing, empty, text, of another kind than its name says, or
    ends before its own sizes say so.

    True if it has sizes that say it is whole: what is missing then is damage inside, not an end
    that was cut off.
    """
    try:
        found = os.stat(path)
        size = found.st_size
        if not stat.S_ISREG(found.st_mode):
            raise MediaError(Reason.missing_file, f"{path.name} is not a file")
        if size == 0:
            raise MediaError(Reason.empty_file, f"{path.name} has no bytes")
        with open(path, "rb") as file:
            head = file.read(512)
            if is_text(head):
                start = head[:40].decode("utf-8", "replace").split("\n")[0].strip()
                raise MediaError(Reason.not_media, f"{path.name} is text: it starts with {start!r}")
            named, found = NAMED.get(path.suffix.lower()), content(head)
            if named and found and named != found:
                raise MediaError(
                    Reason.wrong_extension, f"{path.name} is {found}, not {named} as its name says"
                )
            missing = missing_bytes(file, size)
    except OSError as error:
        raise MediaError(Reason.missing_file, f"{path.name}: {error.strerror}") from error
    if missing:
        reason = Reason.header_only if _is_header(path) else Reason.truncated
        raise MediaError(reason, f"{path.name} ends at byte {size}, at least {missing} are missing")
    return missing == 0


def run_backwards(path: Path, seconds: float) -> MediaError:
    """The error of a stream whose time stamps do so by that much."""
    return MediaError(
        Reason.corrupt,
        f"the time stamps of {path.name} run backwards by {seconds:.2f} s, as in files that were "
        "joined without care",
    )


def damage(path: Path, reason: Reason, whole: bool) -> Reason:
    """The name of damage that decoding met: `reason`, unless the bytes tell it more exactly.

    whole: what `check` said of the file.
    """
    if not whole and _is_header(path):
        return Reason.header_only
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = _media_start(data) or 0  # headers hold room that is zero
        return Reason.zeroed if data.find(bytes(PADDING_LIMIT), start) >= 0 else reason


def unopened(path: Path, whole: bool) -> Reason:
    """The name of what keeps FFmpeg from opening a file that passed `check`, which gave `whole`."""
    with open(path, "rb") as file:
        known = is_container(file.read(16))
    return damage(path, Reason.corrupt if known else Reason.not_media, whole)


def tells_length(path: Path) -> bool:
    """Whether the length that FFmpeg tells is the file's own word. MPEG audio has one only in the
    first frame that some encoders write; else FFmpeg divides the file's size by the bit rate of its
    beginning."""
    with open(path, "rb") as file:
        head = file.read(16)
        if head[:3] == b"ID3":
            size = 0
            for byte in head[6:10]:
                size = size << 7 | byte & 0x7F
            file.seek(10 + size)
            head = file.read(16)
        if len(head) < 2 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
            return True
        file.seek(-len(head), os.SEEK_CUR)
        return re.search(rb"Xing|Info|VBRI", file.read(1024)) is not None


def content(head: bytes) -> str | None:
    """What kind of file starts like this, None if that is not known."""
    if head.startswith(b"RIFF"):
        return RIFF_CONTENTS.get(head[8:12])
    if head[4:8] == b"ftyp":
        return None if head[8:11] == b"M4A" else "a film"  # sound, under a film's name as well
    return next((kind for kind, starts in CONTENTS.items() if head.startswith(starts)), None)


def is_text(head: bytes) -> bool:
    """Whether a file's first bytes are text: an HTML error page or a Git LFS pointer, say."""
    if b"\0" in head or head.startswith(TEXT_HEADERS):
        return False
    try:  # the incremental decoder forgives a character that is cut at the end
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\t\n\r\f" for letter in text)


def is_container(head: bytes) -> bool:
    """Whether a file starts like a known kind of media file."""
    return head.startswith(SIGNATURES) or head[4:8] in (b"ftyp", b"moov", b"mdat")


def missing_bytes(file: BinaryIO, size: int) -> int | None:
    """Bytes that the file's own sizes promise beyond its end; None if it has no sizes."""
    file.seek(0)
    head = file.read(16)
    if head.startswith(b"RIFF"):
        return _missing_riff(file, size)
    if head.startswith(b"\0\0\1\xba"):
        return _missing_program_stream(file) or None  # has packets' sizes, but no length of its own
    if head[4:8] in (b"ftyp", b"moov", b"mdat"):
        return _missing_boxes(file, size)
    if head.startswith(b"\x1aE\xdf\xa3"):
        return _missing_segment(file, size)
    if head.startswith(SPHERE):
        return _missing_sphere(file, size)
    return None


def _is_header(path: Path) -> bool:
    """Whether a file of a known container ends before the first byte of picture or sound."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if not is_container(data[:16]) or data[:4] in (b"fLaC", b"OggS", b"ID3", b"FLV"):
            return False
        start = _media_start(data)
        return start is None or len(data) - start < HEADER_SLACK


def _media_start(data: mmap.mmap) -> int | None:
    """Where the part of a file begins that holds picture and sound."""
    if data[: len(SPHERE)] == SPHERE:
        return _sphere_header(data[:1024])
    mark = {
        b"RIFF": b"data" if data[8:12] == b"WAVE" else b"movi",
        b"\0\0\1\xba": b"\0\0\1[\xc0-\xef]",
        b"\x1aE\xdf\xa3": b"\x1fC\xb6u",
    }.get(data[:4], b"mdat")
    found = re.search(mark, data)
    return found.end() if found else None


def _missing_riff(file: BinaryIO, size: int) -> int | None:
    """RIFF (.wav, .avi): chunks of four letters, a little-endian size and as many bytes, padded."""
    file.seek(0)
    outer = int.from_bytes(file.read(8)[4:8], "little")
    if file.read(4) != b"WAVE":
        # Some writers count their own 8 bytes or leave out the padding: so much is no damage.
        missing = outer + 8 - size
        return None if outer in UNKNOWN_SIZE else missing if missing > 8 else 0
    position = 12  # in hand-made .wav files the outer size is often wrong, that of `data` counts
    while position + 8 <= size:
        file.seek(position)
        chunk = file.read(8)
        length = int.from_bytes(chunk[4:8], "little")
        if chunk[:4] == b"data":
            return None if length in UNKNOWN_SIZE else max(position + 8 + length - size, 0)
        position += 8 + length + length % 2
    return max(position - size, 0)


def _missing_boxes(file: BinaryIO, size: int) -> int | None:
    """ISO base media (.mp4, .mov): top-level boxes of a big-endian size and four letters."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        box = file.read(16)
        length = int.from_bytes(box[:4], "big")
        if length == 1:  # a 64-bit size follows
            length = int.from_bytes(box[8:16], "big")
        if length < 8:  # 0: up to the end of the file
            return None
        position += length
    return max(position - size, 0)


def _missing_segment(file: BinaryIO, size: int) -> int | None:
    """Matroska (.mkv, .webm): a header and one segment, each an id of four bytes, a size whose
    first byte's leading zeros tell how many bytes it takes, and its content."""
    position = 4
    for _ in range(2):
        file.seek(position)
        field = file.read(8)
        if not field or not field[0]:
            return None
        width = 9 - field[0].bit_length()
        length = int.from_bytes(field[:width], "big") & ~(1 << 7 * width)
        if length + 1 == 1 << 7 * width:  # unknown: written as a stream
            return None
        position += width + length + 4
    return max(position - 4 - size, 0)


def _sphere_header(head: bytes) -> int | None:
    """Bytes of the header of a SPHERE file, which its second line tells."""
    told = re.match(SPHERE + rb"\r?\n\s*([0-9]{1,9})\s", head)
    return int(told[1]) if told else None


def _missing_sphere(file: BinaryIO, size: int) -> int | None:
    """NIST's SPHERE: fields of a name, a type and a value, up to `end_head`; the samples begin
    where the header's own size says. Compressed ones have no size that could be told."""
    file.seek(0)
    head = file.read(1 << 16)
    start = _sphere_header(head)
    if start is None:
        return None
    end = re.search(rb"^end_head", head, re.M)
    fields = dict(re.findall(rb"^(\w+)[ \t]+-\w+[ \t]+(\S+)", head[: end and end.start()], re.M))
    if fields.get(b"sample_coding", b"pcm") not in (b"pcm", b"ulaw", b"alaw"):
        return None
    try:
        names = (b"sample_count", b"sample_n_bytes", b"channel_count")
        samples, width, channels = (int(fields[name]) for name in names)
    except (KeyError, ValueError):
        return None
    return max(start + samples * width * channels - size, 0)


def _missing_program_stream(file: BinaryIO) -> int:
    """MPEG-1 and MPEG-2 program streams: pack headers and packets, each starting with 00 00 01."""
    file.seek(0)
    data = file.read() + b"\0\0"  # so that a head that is cut can be read
    size = len(data) - 2
    position = 0
    head = struct.Struct(">IH").unpack_from  # 00 00 01, a code, and a packet's size
    while position + 4 <= size:
        start, length = head(data, position)
        if 0x1BA < start < 0x200:  # a packet
            position += 6 + length
            continue
        code = start & 0xFF
        if start >> 8 != 1 or code < 0xB9:
            # Padding or damage inside: go on at the next pack, decoding will judge the rest.
            position = data.find(b"\0\0\1\xba", position + 1)
            if position < 0:
                return 0
        elif code == 0xB9:  # end of the programme
            position += 4
        else:  # 0xBA: a pack header
            if position + 14 > size:
                return max(position + 12 - size, 0)
            mpeg2 = data[position + 4] >> 6 == 1
            position += 14 + (data[position + 13] & 7) if mpeg2 else 12
    return max(position - size, 0)
