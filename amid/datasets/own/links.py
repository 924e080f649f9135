"""Symbolic links in a folder of own data: which of them are followed.

Two things speak against a link. What lies behind it may be none of the data set's business: data
that others made could name any file of this machine, and its bytes would go into the data set's
outs. And DVC does not follow a link to a folder, so a change behind it would leave old tables
standing. A link to a file DVC follows. So a link is followed

- to a file inside the folder;
- to a file of a store in which the name of a file is the sum of its content, as DVC, Hugging Face
  and git-annex make such links: nobody names a file there who does not know what it holds;
- to any other file with the option `follow_links`;

and one to a folder never is. Nor is anything read from another DVC project inside the folder, which
DVC takes for empty where it lies in the project itself.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

# What ends the path of a file in such a store.
STORES = (
    re.compile(r"/[0-9a-f]{2}/[0-9a-f]{30}"),  # DVC
    re.compile(r"/blobs/([0-9a-f]{40}|[0-9a-f]{64})"),  # Hugging Face
    re.compile(r"/annex/objects/.*/(SHA|MD5|BLAKE)\w*-s\d+--[0-9a-f]{32,}[^/]*"),  # git-annex
)
UNREAD = (".dvc", ".git", ".hg")  # folders that DVC passes over
BROKEN = (
    "a link to nothing, on which DVC stops: get the file (`git annex get`, `dvc pull`) or delete "
    "the link"
)
FOLDER = (
    "behind a link to a folder ({}), where DVC sees no changes: put the files or links to each of "
    "them there (`cp -rs`), or let `folder` be the real folder"
)
OUTSIDE = (
    "a link out of the folder: put the file itself there, or set `follow_links: true` in the "
    "options if you trust the links"
)
PROJECT = (
    "in another DVC project ({}), where DVC sees no changes: remove its `.dvc`, or let `folder` be "
    "the folder of that project"
)
IGNORED = "a .dvcignore, with which DVC takes no folder as an input: move it up or delete it"


class Mistake(NamedTuple):
    """What is wrong with a file: `title` is the same for all mistakes of a kind."""

    title: str
    detail: str


def check_links(folder: Path, path: Path, follow: bool = False) -> Mistake | None:
    """What speaks against the file `path`, which lies below `folder`, None if nothing does.

    follow: whether links to files may lead anywhere. That there is a file is not checked, unless a
    link says so.
    """
    place, ours = folder, _in_this_project(folder)
    for step in Path(os.path.relpath(path, folder)).parts:
        if ours and place != folder and os.path.lexists(place / ".dvc"):
            return Mistake(PROJECT.format(place.relative_to(folder)), "")
        place = place / step
        if not place.is_symlink():
            continue
        shown = f"{place.relative_to(folder)} -> {os.readlink(place)}"
        if not place.exists():
            return Mistake(BROKEN, shown)
        if place.is_dir():
            return Mistake(FOLDER.format(shown), "")
        target = place.resolve()
        if not follow and not _is_allowed(target, folder):
            return Mistake(OUTSIDE, shown)
    return None


def unseen_by_dvc(folder: Path) -> list[str]:
    """Sentences about what lies in `folder` and keeps DVC from reading it at all: links to nothing
    and a `.dvcignore`. Nothing where there is no such folder."""
    found, waiting = [], [folder] if folder.is_dir() else []
    ours = _in_this_project(folder)
    while waiting:
        place = waiting.pop()
        with os.scandir(place) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
        for entry in inside:
            path = place / entry.name
            if entry.name == ".dvcignore":
                found.append(f"{path}: {IGNORED}")
            elif entry.is_symlink() and not path.exists():
                found.append(f"{path} -> {os.readlink(path)}: {BROKEN}")
            elif entry.is_dir(follow_symlinks=False) and entry.name not in UNREAD:
                waiting += [] if ours and os.path.lexists(path / ".dvc") else [path]
    return sorted(found)


def _in_this_project(folder: Path) -> bool:
    """Whether a folder lies in the project, from whose root all stages run."""
    return Path(os.path.abspath(folder)).is_relative_to(os.getcwd())


def _is_allowed(target: Path, folder: Path) -> bool:
    text = target.as_posix()
    inside = target.is_relative_to(folder.resolve())
    return inside or any(re.search(store.pattern + "$", text) for store in STORES)
