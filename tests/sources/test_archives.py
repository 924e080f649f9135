"""Unpacking: what is right arrives whole, what is hostile or damaged writes nothing at all."""

from __future__ import annotations

import gzip
import io
import os
import random
import re
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amid.errors import AmidError
from amid.sources import archives
from amid.sources.archives import Limits, listing, unpack
from tests.campaigns import archives as campaign

FILES = {"a/one.txt": b"one" * 1000, "a/b/two.txt": b"two", "three.txt": b""}


def zip_of(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def tar_of(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Every entry below a folder: files with their bytes, folders and links by their kind."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        is_plain = path.is_file() and not path.is_symlink()
        found[name] = path.read_bytes() if is_plain else stat.filemode(path.lstat().st_mode)
    return found


def files_of(folder: Path) -> dict[str, bytes]:
    return {name: value for name, value in contents(folder).items() if isinstance(value, bytes)}


# ------------------------------------------------------------------------------ right ones


@pytest.mark.parametrize(
    "make",
    [
        lambda path: zip_of(path, FILES),
        lambda path: zip_of(path, FILES, zipfile.ZIP_STORED),
        lambda path: zip_of(path, FILES, zipfile.ZIP_LZMA),
        lambda path: tar_of(path, FILES),
        lambda path: tar_of(path, FILES, "w:gz"),
        lambda path: tar_of(path, FILES, "w:bz2"),
        lambda path: tar_of(path, FILES, "w:xz"),
    ],
)
def test_whole_archives_arrive(tmp_path, make):
    archive = make(tmp_path / "archive")
    assert listing(archive) == sorted(FILES)
    assert unpack(archive, tmp_path / "out") == sorted(FILES)
    assert files_of(tmp_path / "out") == FILES
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "out"}


def test_place_chooses_and_renames(tmp_path):
    archive = zip_of(tmp_path / "a.zip", FILES)
    written = unpack(
        archive,
        tmp_path / "out",
        place=lambda name: f"x/{PurePosixPath(name).name}" if "t" in name.split("/")[-1] else None,
    )
    assert written == ["x/one.txt", "x/three.txt", "x/two.txt"]
    assert files_of(tmp_path / "out")["x/one.txt"] == FILES["a/one.txt"]


def test_folders_dots_and_empty_parts_are_harmless(tmp_path):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as file:
        for name in (".", "./a", "./a/b"):
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE
            file.addfile(member)
        file.addfile(tarfile.TarInfo("./a//b/./c.txt"))
    assert unpack(archive, tmp_path / "out") == ["a/b/c.txt"]
    archive = zip_of(tmp_path / "a.zip", {"s1/": b"", "s1/x": b"x"})
    assert unpack(archive, tmp_path / "out") == ["s1/x"]


def test_modes_and_times_of_the_archive_are_not_taken_over(tmp_path):
    info = zipfile.ZipInfo("run.sh")
    info.external_attr = (stat.S_IFREG | 0o6777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, b"#!/bin/sh\n")
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out" / "run.sh").stat().st_mode & 0o7111 == 0


def test_a_former_folder_is_replaced_whole(tmp_path):
    archive = zip_of(tmp_path / "a.zip", FILES)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stale.txt").write_text("old")
    unpack(archive, tmp_path / "out")
    assert files_of(tmp_path / "out") == FILES


def test_a_link_in_the_place_of_the_target_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.txt").write_text("mine")
    (tmp_path / "out").symlink_to("elsewhere")
    unpack(zip_of(tmp_path / "a.zip", FILES), tmp_path / "out")
    assert not (tmp_path / "out").is_symlink()
    assert files_of(tmp_path / "out") == FILES
    assert files_of(tmp_path / "elsewhere") == {"mine.txt": b"mine"}


def test_what_a_kill_left_is_never_taken_for_whole(tmp_path, monkeypatch):
    archive = zip_of(tmp_path / "a.zip", FILES)
    whole = archives._write

    def dies(opened, entry, path) -> None:
        if entry.name.startswith("three"):
            os._exit(9)
        whole(opened, entry, path)

    monkeypatch.setattr(archives, "_write", dies)
    child = os.fork()
    if child == 0:
        try:
            unpack(archive, tmp_path / "out")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.partial" / "a" / "one.txt").exists()

    (tmp_path / ".out.partial" / "stale.txt").write_text("half")
    monkeypatch.undo()
    unpack(archive, tmp_path / "out")
    assert files_of(tmp_path / "out") == FILES
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "out"}


# ------------------------------------------------------------------------- hostile ones


def zip_named(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("good.txt", b"good")
        info = zipfile.ZipInfo("x")
        info.filename = name  # the constructor would cut it at a NUL
        file.writestr(info, b"evil")


def zip_of_kind(path: Path, kind: int, content: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("good.txt", b"good")
        info = zipfile.ZipInfo("entry")
        info.create_system = 3
        info.external_attr = (kind | 0o777) << 16
        file.writestr(info, content)


def tar_of_kind(path: Path, kind: bytes, target: str = "") -> None:
    with tarfile.open(path, "w") as file:
        good = tarfile.TarInfo("good.txt")
        good.size = 4
        file.addfile(good, io.BytesIO(b"good"))
        member = tarfile.TarInfo("entry")
        member.type = kind
        member.linkname = target
        file.addfile(member)


def tar_through_link(path: Path) -> None:
    with tarfile.open(path, "w") as file:
        link = tarfile.TarInfo("way")
        link.type = tarfile.SYMTYPE
        link.linkname = "../outside"
        file.addfile(link)
        evil = tarfile.TarInfo("way/evil.txt")
        evil.size = 4
        file.addfile(evil, io.BytesIO(b"evil"))


def encrypted_zip(path: Path) -> None:
    zip_of(path, {"secret.txt": b"x"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def twice(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/x.txt", b"first")
        file.writestr("a//./x.txt", b"second")


OUTSIDE = "outside/evil.txt"
HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "zip climbs": (lambda p: zip_named(p, f"../{OUTSIDE}"), "climbs"),
    "zip climbs inside": (lambda p: zip_named(p, f"a/../../{OUTSIDE}"), "climbs"),
    "zip climbs at the end": (lambda p: zip_named(p, "a/.."), "climbs"),
    "zip absolute": (lambda p: zip_named(p, str(p.parent / OUTSIDE)), "absolute path"),
    "zip drive": (lambda p: zip_named(p, "C:/evil.txt"), "drive letter"),
    "zip drive without slash": (lambda p: zip_named(p, "c:evil.txt"), "drive letter"),
    "zip backslash": (lambda p: zip_named(p, f"..\\{OUTSIDE}"), "backslash"),
    "zip share": (lambda p: zip_named(p, "\\\\host\\share\\evil"), "backslash"),
    "zip NUL": (lambda p: zip_named(p, "evil.txt\0.mpg"), "unprintable"),
    "zip line feed": (lambda p: zip_named(p, "evil\n.txt"), "unprintable"),
    "zip escape": (lambda p: zip_named(p, "evil\x1b[2J.txt"), "unprintable"),
    "zip right to left": (lambda p: zip_named(p, "evil\u202egpm.exe"), "unprintable"),
    "zip long name": (lambda p: zip_named(p, "e" * 300), "too long"),
    "zip symlink": (lambda p: zip_of_kind(p, stat.S_IFLNK, b"../outside"), "a link"),
    "zip device": (lambda p: zip_of_kind(p, stat.S_IFCHR, b""), "a device"),
    "zip fifo": (lambda p: zip_of_kind(p, stat.S_IFIFO, b""), "no file"),
    "zip twice": (twice, "twice"),
    "zip file below file": (lambda p: zip_of(p, {"a": b"1", "a/b": b"2"}), "below another file"),
    "zip encrypted": (encrypted_zip, "encrypted"),
    "tar climbs": (lambda p: tar_of(p, {f"../{OUTSIDE}": b"evil"}), "climbs"),
    "tar absolute": (lambda p: tar_of(p, {str(p.parent / OUTSIDE): b"evil"}), "absolute path"),
    "tar bytes that are no text": (lambda p: tar_of(p, {"evil\udcff": b"evil"}), "unprintable"),
    "tar symlink": (lambda p: tar_of_kind(p, tarfile.SYMTYPE, "../outside"), "a link"),
    "tar file through symlink": (tar_through_link, "a link"),
    "tar hard link": (lambda p: tar_of_kind(p, tarfile.LNKTYPE, "good.txt"), "a link"),
    "tar device": (lambda p: tar_of_kind(p, tarfile.CHRTYPE), "a device"),
    "tar block device": (lambda p: tar_of_kind(p, tarfile.BLKTYPE), "a device"),
    "tar fifo": (lambda p: tar_of_kind(p, tarfile.FIFOTYPE), "no file"),
    "tar unknown kind": (lambda p: tar_of_kind(p, b"Z"), "no file"),
    "tar twice": (lambda p: tar_of(p, {"x": b"1", "./x": b"2"}), "twice"),
}


def assert_refused(archive: Path, match: str, **options: object) -> None:
    """With a former target and without one: everything around stays as it was."""
    room = archive.parent
    (room / "outside").mkdir()
    (room / "former").mkdir()
    (room / "former" / "mine.txt").write_text("mine")
    before = contents(room)
    for target in (room / "new", room / "former"):
        with pytest.raises(AmidError, match=match) as caught:
            unpack(archive, target, **options)
        assert archive.name in str(caught.value)
        assert str(caught.value).isprintable()
        assert contents(room) == before


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_write_nothing(tmp_path, kind):
    make, match = HOSTILE[kind]
    make(tmp_path / "evil.archive")
    assert_refused(tmp_path / "evil.archive", match)


@pytest.mark.parametrize("kind", ["zip climbs", "zip symlink", "tar device", "tar absolute"])
def test_hostile_entries_refuse_the_archive_although_nobody_wants_them(tmp_path, kind):
    make, match = HOSTILE[kind]
    make(tmp_path / "evil.archive")
    assert_refused(
        tmp_path / "evil.archive", match, place=lambda name: name if name == "good.txt" else None
    )
    with pytest.raises(AmidError, match=match):
        listing(tmp_path / "evil.archive")


def test_one_malicious_archive_of_each_kind_and_container(capsys):
    assert campaign.main(["--seeds", "1"]) == 0
    assert "35/35 malicious archives: nothing outside, no link made" in capsys.readouterr().out


def careless(archive: Path, target: Path, **_: object) -> None:
    """What a program does that believes the names."""
    with tarfile.open(archive) as file:
        for member in file:
            path = target / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            if member.issym():
                path.symlink_to(member.linkname)
            elif member.isreg():
                path.write_bytes(file.extractfile(member).read())


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("symbolic links", "was taken"),
        ("files through a link", "outside the target"),
        ("the same name twice", "was taken|Error"),
        ("too long names", "Error|was taken"),
    ],
)
def test_a_careless_unpacking_is_found_out(tmp_path, monkeypatch, kind, said):
    monkeypatch.setattr(campaign, "unpack", careless)
    for seed in range(3):
        (tmp_path / str(seed)).mkdir()
        assert re.search(said, campaign.fault("tar", kind, seed, tmp_path / str(seed)))


def test_names_in_names_without_end(tmp_path):
    assert_refused(tar_of(tmp_path / "a.tar", {"a/" * 900 + "x": b"x"}), "too long a name")


@pytest.mark.parametrize("place", ["../x", "/x", "a/../../x", ""])
def test_places_outside_are_refused_as_well(tmp_path, place):
    zip_of(tmp_path / "a.zip", {"x": b"x"})
    assert_refused(tmp_path / "a.zip", "climbs|absolute|no name", place=lambda name: place)


@pytest.mark.parametrize("make", [zip_of, lambda p, f: tar_of(p, f, "w:gz")])
@pytest.mark.parametrize("limits", [Limits(entries=2), Limits(size=1 << 20)])
def test_bombs(tmp_path, make, limits):
    make(tmp_path / "bomb", {f"{number}.bin": bytes(1 << 19) for number in range(3)})
    assert_refused(tmp_path / "bomb", "holds more than", limits=limits)


@pytest.mark.parametrize("claim", [10, 1 << 21])
def test_a_zip_that_lies_about_its_size(tmp_path, claim):
    """A megabyte that claims to be ten bytes, which no limit would mind; or to be two."""
    archive = zip_of(tmp_path / "a.zip", {"x": bytes(1 << 20)})
    data = archive.read_bytes()
    assert data.count(struct.pack("<L", 1 << 20)) == 2
    archive.write_bytes(data.replace(struct.pack("<L", 1 << 20), struct.pack("<L", claim)))
    assert_refused(archive, "damaged")


# ------------------------------------------------------------------------- damaged ones


def cut(path: Path, keep: int) -> Path:
    path.write_bytes(path.read_bytes()[:keep])
    return path


def flipped(path: Path, place: int) -> Path:
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)
    return path


def padded(path: Path) -> bytes:
    return gzip.compress(path.read_bytes() + bytes(archives.MOST_PADDING + archives.CHUNK), 1)


BULK = {name: random.Random(name).randbytes(3000) for name in ("a.bin", "b.bin")}
DAMAGED: dict[str, Callable[[Path], object]] = {
    "empty": lambda p: p.write_bytes(b""),
    "a web page": lambda p: p.write_text("<!doctype html><title>Sign in</title>" * 50),
    "zip cut": lambda p: cut(zip_of(p, BULK), 4000),
    "zip cut to its first bytes": lambda p: cut(zip_of(p, BULK), 4),
    "zip with wrong bytes": lambda p: flipped(zip_of(p, BULK, zipfile.ZIP_STORED), 1000),
    "tar cut inside a file": lambda p: cut(tar_of(p, BULK), 2000),
    "tar cut after a file": lambda p: cut(tar_of(p, BULK), 512 + 3072),
    "tar cut inside a header": lambda p: cut(tar_of(p, BULK), 512 + 3072 + 100),
    "tar without its end": lambda p: cut(tar_of(p, BULK), 2 * (512 + 3072)),
    "tar with a wrong header": lambda p: flipped(tar_of(p, BULK), 512 + 3072 + 10),
    "tar.gz cut": lambda p: cut(tar_of(p, BULK, "w:gz"), 4000),
    "tar.gz with wrong bytes": lambda p: flipped(tar_of(p, BULK, "w:gz"), 3000),
    "tar.bz2 with wrong bytes": lambda p: flipped(tar_of(p, BULK, "w:bz2"), 3000),
    "tar.xz cut": lambda p: cut(tar_of(p, BULK, "w:xz"), 4000),
    "tar.gz with endless padding": lambda p: p.write_bytes(padded(tar_of(p, BULK))),
    "gzip of something else": lambda p: p.write_bytes(gzip.compress(b"no tar" * 1000)),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_archives_write_nothing(tmp_path, kind):
    DAMAGED[kind](tmp_path / "broken.archive")
    assert_refused(tmp_path / "broken.archive", r"damaged.*get it again")


def test_a_target_that_cannot_be_made(tmp_path):
    archive = zip_of(tmp_path / "a.zip", FILES)
    (tmp_path / "file").write_text("a file")
    with pytest.raises(AmidError, match="could not be unpacked"):
        unpack(archive, tmp_path / "file" / "out")


@given(st.text(max_size=40))
def test_a_name_is_refused_or_stays_below(name):
    try:
        kept = archives._checked_name(Path("a.zip"), name)
    except AmidError:
        return
    assert not os.path.isabs(kept)
    assert os.path.normpath(os.path.join("/room/target", kept)).startswith("/room/target")
    assert ".." not in kept.split("/")
    assert kept.isprintable()
