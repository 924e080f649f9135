"""Malicious archives of thirteen kinds, as zip, tar and what a program for .rar makes of one:

    python -m tests.campaigns.archives --seeds 25

Each is unpacked in a room of its own, once to a new folder and once over a former one. Afterwards
nothing in the room may differ but the target, no link, device or pipe may be there, and a refusal
is one printable sentence that names the archive and leaves the target as it was.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import stat
import struct
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from amid.errors import AmidError
from amid.sources.archives import Limits, unpack
from amid.sources.rar import unpack_rar

SMALL = Limits(entries=50, size=1 << 20)
EVIL = "outside/evil.txt"


class Entry(NamedTuple):
    """One entry of an archive. kind: file | symlink | hard link | device | pipe."""

    name: str
    content: bytes = b"evil"
    kind: str = "file"
    link: str = ""


# ---------------------------------------------------------------- the thirteen kinds


def climbs(rng: random.Random, room: Path) -> list[Entry]:
    way = "../" * rng.randint(1, 5)
    return [Entry(rng.choice([f"{way}{EVIL}", f"a/b/../../{way}{EVIL}", f"./{way}evil", "a/.."]))]


def absolute(rng: random.Random, room: Path) -> list[Entry]:
    return [Entry(rng.choice([f"{room / EVIL}", f"/{room / EVIL}", "/etc/amid-evil"]))]


def drive_letters(rng: random.Random, room: Path) -> list[Entry]:
    names = ["C:/evil.txt", "c:evil.txt", "\\\\host\\share\\evil", "..\\outside\\evil.txt", "a\\b"]
    return [Entry(rng.choice(names))]


def symbolic_link(rng: random.Random, room: Path) -> list[Entry]:
    to = rng.choice(["../outside", str(room / "outside"), "good0.txt", "/etc/passwd", "."])
    return [Entry("link", b"", "symlink", to)]


def hard_link(rng: random.Random, room: Path) -> list[Entry]:
    to = rng.choice(["../outside/mine.txt", str(room / "outside" / "mine.txt"), "good0.txt"])
    return [Entry("link", b"", "hard link", to)]


def through_a_link(rng: random.Random, room: Path) -> list[Entry]:
    to = rng.choice(["../outside", str(room / "outside")])
    return [Entry("way", b"", "symlink", to), Entry("way/evil.txt")]


def device(rng: random.Random, room: Path) -> list[Entry]:
    return [Entry("entry", b"", rng.choice(["device", "pipe"]))]


def twice(rng: random.Random, room: Path) -> list[Entry]:
    first, second = rng.choice([("a/x", "a/x"), ("a/x", "a//./x"), ("a", "a/x"), ("a/x", "./a/x")])
    return [Entry(first, b"first"), Entry(second, b"second")]


def clash_of_case(rng: random.Random, room: Path) -> list[Entry]:
    pairs = [("Clip.avi", "clip.AVI"), ("é.txt", "e\u0301.txt"), ("A/x", "a/x"), ("-rf", "-RF")]
    first, second = rng.choice(pairs)
    return [Entry(first, b"first"), Entry(second, b"second")]


def long_name(rng: random.Random, room: Path) -> list[Entry]:
    return [Entry(rng.choice(["e" * 256, "é" * 128, "a/" * 2500 + "x", "a/" * 900 + "x"]))]


def control_characters(rng: random.Random, room: Path) -> list[Entry]:
    middle = rng.choice(["\0", "\x1b[2J", "\u202e", "\r", "\x7f", "\u2028"])
    return [Entry(f"evil{middle}.txt")]


def bomb(rng: random.Random, room: Path) -> list[Entry]:
    """Too many entries, too many bytes, or (where the container can) fewer than there are."""
    if rng.random() < 0.5:
        return [Entry(f"{n}.txt", b"") for n in range(SMALL.entries + 1)]
    return [Entry(f"{n}.txt", bytes(SMALL.size // 4)) for n in range(5)]


def falsified(rng: random.Random, room: Path) -> list[Entry]:
    """Right entries; the container's bytes are spoilt: encrypted, wrong sums, false sizes."""
    return [Entry("entry", rng.randbytes(4000))]


KINDS: dict[str, Callable[[random.Random, Path], list[Entry]]] = {
    "climbing names": climbs,
    "absolute paths": absolute,
    "drive letters and backslashes": drive_letters,
    "symbolic links": symbolic_link,
    "hard links": hard_link,
    "files through a link": through_a_link,
    "devices and pipes": device,
    "the same name twice": twice,
    "names that clash by case": clash_of_case,
    "too long names": long_name,
    "NUL and control characters": control_characters,
    "bombs": bomb,
    "encrypted, wrong sums, false sizes": falsified,
}
# Two files on most systems; where names that differ by case are one, the second is refused.
HARMLESS = {"names that clash by case"}


# ---------------------------------------------------------------- the containers


def write_zip(path: Path, entries: Sequence[Entry], rng: random.Random, spoil: bool) -> None:
    modes = {"symlink": stat.S_IFLNK, "device": stat.S_IFCHR, "pipe": stat.S_IFIFO}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of duplicate names
        for entry in entries:
            info = zipfile.ZipInfo("x")
            info.filename = entry.name  # the constructor would cut it at a NUL
            info.compress_type = zipfile.ZIP_STORED if spoil else zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = (modes.get(entry.kind, stat.S_IFREG) | 0o777) << 16
            file.writestr(info, entry.link.encode() or entry.content)
    if spoil:
        data = bytearray(path.read_bytes())
        how = rng.choice(["encrypted", "content", "size"])
        last = data.rindex(b"PK\x01\x02")
        if how == "encrypted":
            data[last + 8] |= 1
        elif how == "content":
            data[data.rindex(entries[-1].content) + rng.randrange(4000)] ^= 0xFF
        else:  # claims to be 10 bytes
            data[last + 24 : last + 28] = struct.pack("<L", 10)
        path.write_bytes(data)


def write_tar(path: Path, entries: Sequence[Entry], rng: random.Random, spoil: bool) -> None:
    kinds = {"symlink": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "pipe": tarfile.FIFOTYPE}
    kinds["device"] = rng.choice([tarfile.CHRTYPE, tarfile.BLKTYPE])
    packed = rng.choice(["w", "w:gz"])
    form = rng.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
    if any("\0" in entry.name for entry in entries):
        form = tarfile.PAX_FORMAT  # alone can hold one
    with tarfile.open(path, packed, format=form, encoding="utf-8") as file:
        for entry in entries:
            member = tarfile.TarInfo(entry.name)
            member.type = kinds.get(entry.kind, tarfile.REGTYPE)
            member.linkname = entry.link
            if "\0" in entry.name:
                member.pax_headers = {"path": entry.name}
            member.size = len(entry.content) if entry.kind == "file" else 0
            file.addfile(member, io.BytesIO(entry.content))
    if spoil:
        data = bytearray(path.read_bytes())
        if packed == "w":
            data[data.rindex(b"ustar") - 100] ^= 0xFF  # in the header's sum or what it sums up
        else:
            data[-8 + rng.randrange(4)] ^= 0xFF  # the sum at the end of a gzip
        path.write_bytes(data)


# Stands for unrar: says what the "archive" wants listed, then writes what it wants written.
UNRAR = """#!{python}
import json, os, sys
from pathlib import Path
if sys.argv[1] == "lt":
    said = json.loads(Path(sys.argv[-1]).read_text())["listing"]
    for name, kind, size in said:
        print(f"        Name: {{name}}\\n        Type: {{kind}}\\n        Size: {{size}}\\n")
else:
    target = Path(sys.argv[-1])
    for name, content, kind, link in json.loads(Path(sys.argv[-2]).read_text())["tree"]:
        path = target / name
        if kind == "symlink":
            path.symlink_to(link)
        elif kind == "hard link":
            os.link(target / link, path)
        elif kind in ("device", "pipe"):
            os.mkfifo(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
"""


def write_rar(path: Path, entries: Sequence[Entry], rng: random.Random, spoil: bool) -> None:
    """Half of the time the listing is honest; else it calls everything a file, or leaves it out."""
    types = {"file": "File", "symlink": "Unix symbolic link", "hard link": "Hard link"}
    special = [entry for entry in entries if entry.kind != "file"]
    honest = not (special or spoil) or (rng.random() < 0.5 and not spoil)
    listed = [
        (e.name, types.get(e.kind, "Device") if honest else "File", len(e.content))
        for e in (entries[:-1] if spoil else entries)
    ]
    tree = [(e.name, e.content.decode("latin-1"), e.kind, e.link) for e in entries]
    path.write_text(json.dumps({"listing": listed, "tree": tree}))


CONTAINERS = {
    "zip": (write_zip, ".zip"),
    "tar": (write_tar, ".tar"),
    "rar": (write_rar, ".rar"),
}
# A zip has no hard links, and of a program for .rar only what it lists and leaves can be judged.
WITHOUT = {("zip", "hard links"), ("rar", "files through a link"), ("rar", "the same name twice")}
WITHOUT |= {("rar", "names that clash by case")}


# ---------------------------------------------------------------- the judgement


def contents(folder: Path) -> dict[str, object]:
    """Every entry below the folder: files with their bytes, the others by mode and target."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name, kind = str(path.relative_to(folder)), path.lstat()
        if stat.S_ISREG(kind.st_mode):
            found[name] = (path.read_bytes(), kind.st_nlink)
        else:
            target = os.readlink(path) if path.is_symlink() else ""
            found[name] = (stat.filemode(kind.st_mode), target)
    return found


def fault(container: str, kind: str, seed: int, room: Path) -> str | None:
    """What went wrong with one archive in an empty room; None for nothing."""
    rng = random.Random(f"{container}/{kind}/{seed}")
    write, suffix = CONTAINERS[container]
    (room / "outside").mkdir()
    (room / "outside" / "mine.txt").write_text("mine")
    (room / "former").mkdir()
    (room / "former" / "mine.txt").write_text("mine")
    entries = KINDS[kind](rng, room)
    before = [Entry(f"good{n}.txt", b"good") for n in range(rng.randint(1, 3))]
    after = [] if kind.startswith("encrypted") else [Entry("z.txt", b"good")]
    entries = [*before, *entries, *after]
    archive = room / f"evil{suffix}"
    write(archive, entries, rng, kind.startswith("encrypted"))
    for target in (room / "new", room / "former"):
        around = contents(room)
        refused = None
        try:
            if container == "rar":
                unpack_rar(archive, target, limits=SMALL)
            else:
                unpack(archive, target, limits=SMALL)
        except AmidError as error:
            refused = str(error)
            if not refused.isprintable() or archive.name not in refused:
                return f"this is no sentence about {archive.name}: {refused!r}"
        except Exception as error:  # whatever it is, it is no sentence
            return f"{type(error).__name__}: {error}"
        found = contents(room)
        outside = {n: v for n, v in around.items() if not n.startswith(target.name)}
        if outside != {n: v for n, v in found.items() if not n.startswith(target.name)}:
            return "something outside the target changed"
        inside = {n: v for n, v in found.items() if n.startswith(target.name)}
        if refused is None:
            want = {f"{target.name}/{e.name}": (e.content, 1) for e in entries}
            files = {n: v for n, v in inside.items() if isinstance(v[0], bytes)}
            folders = {v[0][0] for v in inside.values() if not isinstance(v[0], bytes)}
            if kind not in HARMLESS or files != want or folders - {"d"}:
                return f"it was taken: {sorted(inside)[:5]}"
        elif container == "rar":  # unpacks to new folders, and leaves none
            if inside and target.name == "new":
                return "it was refused, but left something"
        elif inside != {n: v for n, v in around.items() if n.startswith(target.name)}:
            return "it was refused, but the target changed"
    return None


@contextlib.contextmanager
def standing_in(folder: Path) -> Iterator[None]:
    """A program `unrar` on the PATH, and no other."""
    program = folder / "unrar"
    program.write_text(UNRAR.format(python=sys.executable))
    program.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = str(folder)
    try:
        yield
    finally:
        os.environ["PATH"] = before


def run(seeds: Sequence[int], say: Callable[[str], None] = print) -> tuple[int, int]:
    """(refused or harmless, all) archives."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as programs, standing_in(Path(programs)):
        for kind in KINDS:
            for container in CONTAINERS:
                if (container, kind) in WITHOUT:
                    continue
                for seed in seeds:
                    with tempfile.TemporaryDirectory() as room:
                        wrong = fault(container, kind, seed, Path(room))
                    total[kind] += 1
                    right[kind] += wrong is None
                    if wrong is not None:
                        say(f"{kind}, {container}, seed {seed}: {wrong}")
            say(f"{kind}: {right[kind]}/{total[kind]}")
    return right.total(), total.total()


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=25, metavar="N", help="of each kind (25)")
    seeds = range(parser.parse_args(words).seeds)
    print(f"seeds 0 to {len(seeds) - 1}")
    right, total = run(seeds)
    print(f"{right}/{total} malicious archives: nothing outside, no link made")
    return 0 if right == total else 1


if __name__ == "__main__":
    sys.exit(main())
