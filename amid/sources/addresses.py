"""Addresses and folders of mirrors that a user gave."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from amid.errors import AmidError

MIRROR_VARIABLE = "AMID_MIRROR"


def is_address(text: str) -> bool:
    """Whether `text` is a URL; a single letter before the colon is a drive, not a scheme."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def checked_address(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        raise AmidError("An address in params.yaml is malformed: give host and path.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AmidError(
            f"{shown(address)} cannot be downloaded from: give an http or https address, or for "
            "a mirror on this machine the plain path of its folder."
        )
    return address


def shown(address: str) -> str:
    """The address as messages may show it: no user, no password, no query (it may hold a token)."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def below(mirror: str, name: str) -> str:
    parts = urlsplit(mirror)
    path = f"{parts.path.rstrip('/')}/{quote(name)}"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def in_folder(name: str, folder: Path) -> Path:
    path = folder / name
    if not path.is_file():
        what = "is not in the mirror folder" if folder.is_dir() else "is missing: no mirror folder"
        raise AmidError(
            f"{name} {what} {folder}: put it there, or take `mirror` out of params.yaml and "
            f"{MIRROR_VARIABLE} out of the environment to download it."
        )
    return path
