"""Unpack .rar archives with an installed program, as safely as amid.sources.archives.

The listing of the same program is checked before anything is unpacked (another parser, such as
rarfile's, may see other entries: docs/architecture.md). It then writes to a new folder, which may
contain only regular files that were listed. One bad entry rejects the whole archive.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from amid.errors import AmidError
from amid.sources.archives import MOST_PARTS, Limits


@dataclass(frozen=True)
class Listed:
    """An entry of the listing. kind: "file", "folder" or "other"; size in bytes."""

    name: str
    kind: str
    size: int


def unpack_rar(archive: Path, target: Path, *, limits: Limits | None = None) -> list[str]:
    """Unpack into the new folder `target`; returns the sorted paths of its files, with `/`.

    Raises AmidError, with `target` absent: no program; a damaged archive; names that are absolute
    or climb with `..`; links and all else that is neither file nor folder; more than `limits`.
    """
    program, entries = _listed(archive)
    _check(archive, entries, limits or Limits())
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        done = _run(program.unpack(archive, target))
        if done.returncode != 0:
            raise AmidError(
                f"{archive.name} could not be unpacked by {program.name}: {_last(done)}; make "
                "room, or delete the archive and run again to repeat the download."
            )
        return _kept(
            archive,
            target,
            {str(PurePosixPath(entry.name)) for entry in entries if entry.kind == "file"},
        )
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


# ---------------------------------------------------------------------------------- the checks


def _check(archive: Path, entries: list[Listed], limits: Limits) -> None:
    if not any(entry.kind == "file" for entry in entries):
        raise AmidError(f"{archive.name} holds no file: check that it is the right archive.")
    for entry in entries:
        parts = PurePosixPath(entry.name).parts
        fault = None
        if entry.name.startswith("/") or re.match(r"[A-Za-z]:", entry.name):
            fault = "is an absolute path"
        elif ".." in parts or "\\" in entry.name:
            fault = "climbs out of its folder"
        elif (not parts and entry.kind == "file") or not entry.name.isprintable():
            fault = "is no usable name"
        elif len(parts) > MOST_PARTS:
            fault = "has too long a name"
        elif entry.kind == "other":
            fault = "is a link, a device or no file at all"
        if fault is not None:
            raise _refusal(archive, entry.name, fault)
    total = sum(entry.size for entry in entries)
    if len(entries) > limits.entries or total > limits.size:
        raise AmidError(
            f"{archive.name} is refused, nothing was unpacked: it holds more than {limits.entries} "
            f"entries or {limits.size} bytes; check that it is the right file."
        )


def _kept(archive: Path, target: Path, expected: set[str]) -> list[str]:
    """The files below `target`. Raises AmidError for one that is not regular or was not listed."""
    found = []
    for folder, folders, files in os.walk(target):
        for name in (*folders, *files):
            path = Path(folder, name)
            status = path.lstat()
            below = path.relative_to(target).as_posix()
            if stat.S_ISDIR(status.st_mode):
                continue
            is_plain = stat.S_ISREG(status.st_mode) and status.st_nlink == 1  # no hard link either
            if not is_plain or below not in expected:
                raise _refusal(archive, below, "is not what the listing of the archive says")
            found.append(below)
    return sorted(found)


def _refusal(archive: Path, name: str, what: str) -> AmidError:
    return AmidError(
        f"{archive.name} is refused: its entry {ascii(name)[:120]} {what}; get the archive from a "
        "source you trust."
    )


# ---------------------------------------------------------------------------------- the programs


@dataclass(frozen=True)
class _Program:
    """How to call one program. read: parses the text of its listing."""

    name: str
    listing: tuple[str, ...]
    unpacking: Callable[[str, str], tuple[str, ...]]
    read: Callable[[str], list[Listed]]

    def _path(self) -> str:
        return shutil.which(self.name) or self.name  # 7z looks for its parts beside its own path

    def list(self, archive: Path) -> list[str]:
        return [self._path(), *self.listing, str(archive.resolve())]

    def unpack(self, archive: Path, target: Path) -> list[str]:
        return [self._path(), *self.unpacking(str(archive.resolve()), str(target.resolve()))]


def _read_unrar(text: str) -> list[Listed]:
    """`unrar lt`: blocks of `Key: value`, an entry's from its Name on."""
    found = []
    for block in re.split(r"\n\s*\n", text):
        values = dict(re.findall(r"^ *([A-Za-z][A-Za-z ]*): (.*)$", block, flags=re.MULTILINE))
        if "Name" in values and values.get("Type") != "Service":
            kind = {"File": "file", "Directory": "folder"}.get(values.get("Type", ""), "other")
            found.append(Listed(values["Name"], kind, _number(values.get("Size"))))
    return found


def _read_7z(text: str) -> list[Listed]:
    """`7z l -slt`: blocks of `Key = value` after a line of dashes."""
    found = []
    for block in re.split(r"\n\s*\n", text.partition("\n----------\n")[2]):
        values = dict(re.findall(r"^([A-Za-z][A-Za-z ]*) = ?(.*)$", block, flags=re.MULTILINE))
        if "Path" not in values:
            continue
        attributes = values.get("Attributes", "")
        is_link = bool(values.get("Symbolic Link") or values.get("Hard Link"))
        is_link = is_link or bool(re.search(r"(^| )[lbcps][r-][w-]", attributes))
        is_folder = values.get("Folder") == "+" or attributes.startswith("D")
        kind = "other" if is_link else "folder" if is_folder else "file"
        found.append(Listed(values["Path"], kind, _number(values.get("Size"))))
    return found


def _read_bsdtar(text: str) -> list[Listed]:
    """`bsdtar -tv`: as `ls -l` has it, one line an entry."""
    found = []
    for line in text.splitlines():
        match = re.fullmatch(
            r"(\S)\S+ +\d+ +\S+ +\S+ +(\d+) +[A-Z][a-z]{2} +\d+ +[\d:]+ (.+)", line
        )
        if match is None:  # a line that is not understood may hide anything
            found.append(Listed(line, "other", 0))
            continue
        mark, size, name = match.groups()
        kind = {"-": "file", "d": "folder"}.get(mark, "other")
        if " link to " in name:
            kind = "other"
        found.append(Listed(name.rstrip("/") if kind == "folder" else name, kind, int(size)))
    return found


PROGRAMS = (
    _Program(
        "unrar",
        ("lt", "-p-", "-cfg-", "--"),
        lambda archive, target: ("x", "-p-", "-o-", "-idq", "-cfg-", "--", archive, f"{target}/"),
        _read_unrar,
    ),
    *(
        _Program(
            name,
            ("l", "-slt", "-p-", "--"),
            lambda archive, target: ("x", "-y", "-p-", "-bd", f"-o{target}", "--", archive),
            _read_7z,
        )
        for name in ("7z", "7zz")
    ),
    _Program(
        "bsdtar",
        ("-tvf",),
        lambda archive, target: ("-xf", archive, "--no-same-owner", "-C", target),
        _read_bsdtar,
    ),
)


def _listed(archive: Path) -> tuple[_Program, list[Listed]]:
    """The first program that can read the archive, and its listing."""
    failed = []
    for program in PROGRAMS:
        if shutil.which(program.name) is None:
            continue
        done = _run(program.list(archive))
        if done.returncode == 0 and (entries := program.read(done.stdout)):
            return program, entries
        failed.append(f"{program.name}: {_last(done)}")
    if failed:
        raise AmidError(
            f"{archive.name} cannot be read ({'; '.join(failed)}): install unrar, or delete the "
            "archive and run again to repeat the download if it is damaged."
        )
    names = ", ".join(program.name for program in PROGRAMS)
    raise AmidError(
        f"{archive.name} needs a program that unpacks .rar, and none is on the PATH: install one "
        f"of {names}, or unpack it yourself and name the folder in `recordings` of its block."
    )


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}  # the listing's words and dates in English
    return subprocess.run(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
    )


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    said = ascii(lines[-1])[1:-1][:200] if lines else "no message"
    return f"exit status {done.returncode}, {said}"


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
