"""Download the archives of a data set over HTTP, with resume, or from a mirror.

A file has its own name once it is complete. Until then its bytes are in `<name>.part`, and the
server's headers in `<name>.part.json` decide whether a later run may continue it. Beside a complete
file, `<name>.source.json` keeps a fingerprint of its address, so that a copy from one mirror is not
taken for the file of another source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from amid.errors import AmidError
from amid.io.project import find_input
from amid.sources.addresses import MIRROR_VARIABLE, below, checked_address, in_folder, is_address
from amid.sources.measures import fault_of, measure
from amid.sources.transfer import Order, Patience, from_web

__all__ = ["Obtained", "Patience", "obtain", "resolve_mirror"]


@dataclass(frozen=True)
class Obtained:
    """A complete, checked file; size in bytes. pinned: its sha256 was given, not only recorded."""

    name: str
    size: int
    sha256: str
    pinned: bool
    path: Path

    def record(self) -> dict[str, str | int | bool]:
        """The fields to store in an out: nothing that depends on the machine or the address."""
        return {
            "name": self.name,
            "size": self.size,
            "sha256": self.sha256,
            "pinned": self.pinned,
        }


def resolve_mirror(param: str | None, environ: Mapping[str, str]) -> str | None:
    """The mirror to use: AMID_MIRROR of the environment, else that of params.yaml, else None."""
    for value in (environ.get(MIRROR_VARIABLE), param):
        if value is not None and value.strip():
            return value.strip()
    return None


def obtain(
    name: str,
    url: str,
    target: Path,
    *,
    mirror: str | None,
    sha256: str | None,
    size: int | None = None,
    pin_under: str = "sha256",
    patience: Patience | None = None,
    echo: Callable[[str], None] = print,
) -> Obtained:
    """File `name`, whole and checked: from `mirror` (folder or URL) when given, else from `url`.

    From a folder the file is read where it lies, so `path` of the result need not be `target`.
    `sha256` (hex) and `size` (bytes) are demanded where given; a sum that is not pinned is printed
    as the line to paste below the key `pin_under`, which names its file.

    Raises AmidError: not there, refused, cut off for good, other size or sum than demanded.
    """
    if mirror is not None and not is_address(mirror):
        path = in_folder(name, find_input(mirror))
        try:
            actual = measure(path)
        except OSError as error:
            raise AmidError(
                f"{name} in the mirror folder {path.parent} cannot be read: "
                f"{error.strerror or error}; fix the file or its permissions."
            ) from error
        fault = fault_of(actual, sha256, size)
        if fault:
            raise AmidError(
                f"{name} in the mirror folder {path.parent} {fault}: replace it there, or correct "
                f"{pin_under} if that file is the one you want."
            )
    else:
        address = checked_address(url if mirror is None else mirror)
        if mirror is not None:
            address = below(mirror, name)
        order = Order(
            name=name,
            address=address,
            target=target,
            sha256=sha256,
            size=size,
            is_mirror=mirror is not None,
            pin_under=pin_under,
            patience=patience or Patience(),
            echo=echo,
        )
        path = target
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Two processes that add to one part would mix their bytes.
            with FileLock(target.with_name(f"{target.name}.lock")):
                actual = from_web(order)
        except OSError as error:
            raise AmidError(
                f"{name} could not be kept in {target.parent}: {error.strerror or error}; make "
                "room or fix the folder, then run again."
            ) from error
    if sha256 is None:
        echo(
            f"{name}: {actual.size} bytes, sum not pinned. To pin it, paste this line below "
            f'{pin_under}:\n{name}: "{actual.sha256}"'
        )
    return Obtained(name, actual.size, actual.sha256, sha256 is not None, path)
