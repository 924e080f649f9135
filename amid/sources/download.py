"""Download the archives of a data set over HTTP, with resume, or from a mirror.

A file has its own name once it is complete. Until then its bytes are in `<name>.part`, and the
server's headers in `<name>.part.json` decide whether a later run may continue it. Beside a complete
file, `<name>.source.json` keeps a fingerprint of its address, so that a copy from one mirror is not
taken for the file of another source.

`requests` does the transfer. Resuming is done here, since a part may only be continued if the
server confirms (If-Range) that it still has the same file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import requests
from filelock import FileLock

from amid.errors import AmidError
from amid.io.progress import Progress
from amid.io.project import find_input

MIRROR_VARIABLE = "AMID_MIRROR"
CHUNK = 1 << 16  # bytes read at once
PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


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


@dataclass(frozen=True)
class Patience:
    """When to give up. attempts: failures in a row without a new byte; the rest in seconds."""

    attempts: int = 6
    pause: float = 1.0  # before the first repetition; doubles with each
    longest: float = 120.0  # limit of the doubling and of the server's Retry-After
    connect: float = 15.0
    read: float = 60.0


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
    if mirror is not None and not _is_address(mirror):
        path = _in_folder(name, find_input(mirror))
        try:
            actual = _measure(path)
        except OSError as error:
            raise AmidError(
                f"{name} in the mirror folder {path.parent} cannot be read: "
                f"{error.strerror or error}; fix the file or its permissions."
            ) from error
        fault = _fault(actual, sha256, size)
        if fault:
            raise AmidError(
                f"{name} in the mirror folder {path.parent} {fault}: replace it there, or correct "
                f"{pin_under} if that file is the one you want."
            )
    else:
        address = _checked_address(url if mirror is None else mirror)
        if mirror is not None:
            address = _below(mirror, name)
        order = _Order(
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
                actual = _from_web(order)
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


# ---------------------------------------------------------------- what a file is, and should be


@dataclass(frozen=True)
class _Measure:
    size: int
    sha256: str


def _measure(path: Path) -> _Measure:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return _Measure(file.tell(), digest)


def _fault(actual: _Measure, sha256: str | None, size: int | None) -> str | None:
    """How a file differs from what was demanded, in words; None if it does not."""
    if size is not None and actual.size != size:
        return f"has the wrong size (expected {size} bytes, got {actual.size})"
    if sha256 is not None and actual.sha256 != sha256.lower():
        return f"has the wrong sha256 (expected {sha256.lower()}, got {actual.sha256})"
    return None


def _md5_fault(path: Path, md5: str | None) -> str | None:
    """The same for the MD5 that some servers announce (Zenodo's ETag)."""
    if md5 is None:
        return None
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return None if actual == md5 else f"has another md5 ({actual}) than the server says ({md5})"


# ------------------------------------------------------------------------------- addresses


def _is_address(text: str) -> bool:
    """Whether `text` is a URL; a single letter before the colon is a drive, not a scheme."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def _checked_address(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        raise AmidError("An address in params.yaml is malformed: give host and path.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AmidError(
            f"{_shown(address)} cannot be downloaded from: give an http or https address, or for "
            "a mirror on this machine the plain path of its folder."
        )
    return address


def _shown(address: str) -> str:
    """The address as messages may show it: no user, no password, no query (it may hold a token)."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _below(mirror: str, name: str) -> str:
    parts = urlsplit(mirror)
    path = f"{parts.path.rstrip('/')}/{quote(name)}"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _in_folder(name: str, folder: Path) -> Path:
    path = folder / name
    if not path.is_file():
        what = "is not in the mirror folder" if folder.is_dir() else "is missing: no mirror folder"
        raise AmidError(
            f"{name} {what} {folder}: put it there, or take `mirror` out of params.yaml and "
            f"{MIRROR_VARIABLE} out of the environment to download it."
        )
    return path


# ------------------------------------------------------------------------------ the transfer


class _Passing(Exception):
    """A failure that is worth another attempt. wait: seconds that the server asks for."""

    def __init__(self, text: str, wait: float | None = None) -> None:
        super().__init__(text)
        self.wait = wait


class _Refused(Exception):
    """A redirection that is not followed."""


class _Session(requests.Session):
    """Follows redirections to http and https alone, and never from https down to http."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        before = urlsplit(resp.url).scheme
        after = urlsplit(urljoin(resp.url, target)).scheme
        if after not in ("http", "https") or (before == "https" and after == "http"):
            raise _Refused(f"the server redirects from {before} to {after}, which is not followed")
        return target


@dataclass(frozen=True)
class _State:
    """The server's description of the file of a part. source: fingerprint of its address."""

    source: str
    etag: str | None
    modified: str | None
    total: int | None

    @property
    def validator(self) -> str | None:
        """The value for If-Range, None without one: a weak ETag does not promise equal bytes."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    @property
    def md5(self) -> str | None:
        match = re.fullmatch(r'"md5:([0-9a-f]{32})"', self.etag or "")
        return match.group(1) if match else None


def _read_notes(path: Path) -> dict | None:
    try:
        notes = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return notes if isinstance(notes, dict) else None


def _write_notes(path: Path, notes: dict) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(notes, sort_keys=True) + "\n")
    os.replace(new, path)


@dataclass(frozen=True)
class _Order:
    """One file to download from one address, with the arguments of `obtain`."""

    name: str
    address: str
    target: Path
    sha256: str | None
    size: int | None
    is_mirror: bool
    pin_under: str
    patience: Patience
    echo: Callable[[str], None]

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def part_notes(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part.json")

    @property
    def source_notes(self) -> Path:
        return self.target.with_name(f"{self.target.name}.source.json")

    @property
    def fingerprint(self) -> str:
        """Identifies the address in notes; the address itself may contain a password."""
        return hashlib.sha256(self.address.encode()).hexdigest()

    @property
    def shown(self) -> str:
        return _shown(self.address)

    def drop_part(self) -> None:
        self.part_notes.unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)

    def rename_rejected(self, path: Path) -> str:
        aside = self.target.with_name(f"{self.target.name}.bad")
        os.replace(path, aside)
        return aside.name

    def state_of_part(self) -> _State | None:
        """The notes of a part that may be continued, else None."""
        notes = _read_notes(self.part_notes)
        if notes is None or set(notes) != set(_State.__dataclass_fields__):
            return None
        state = _State(**notes)
        if state.source != self.fingerprint or state.validator is None or not self.part.is_file():
            return None
        if state.total is not None and self.part.stat().st_size > state.total:
            return None
        return state


def _from_web(order: _Order) -> _Measure:
    target, echo = order.target, order.echo
    if target.is_file():
        actual = _measure(target)
        fault = _fault(actual, order.sha256, order.size)
        if fault:
            aside = order.rename_rejected(target)
            echo(f"{order.name} already here {fault}: renamed to {aside}, downloading it again.")
        elif order.sha256 is not None or _may_stay(order, actual):
            return actual
        else:
            echo(f"{order.name} already here came from another address: downloading it again.")
    state = _download(order)
    actual = _measure(order.part)
    fault = _fault(actual, order.sha256, order.size) or _md5_fault(order.part, state.md5)
    if fault:
        aside = order.rename_rejected(order.part)
        order.drop_part()
        raise AmidError(
            f"{order.name} from {order.shown} {fault}: it was renamed to {aside}; run again to "
            f"repeat the download, or correct {order.pin_under} if that is the file you want."
        )
    # The notes first: a kill in between leaves a whole part, which the next run only renames.
    _write_notes(order.source_notes, {"source": order.fingerprint, "sha256": actual.sha256})
    os.replace(order.part, target)
    order.drop_part()
    return actual


def _may_stay(order: _Order, actual: _Measure) -> bool:
    """Whether to keep an unpinned file: it is from this address, or was put there by hand."""
    notes = _read_notes(order.source_notes)
    return notes is None or notes == {"source": order.fingerprint, "sha256": actual.sha256}


def _download(order: _Order) -> _State:
    """Download the part until it is complete; after a failure its bytes stay."""
    patience, failures, furthest = order.patience, 0, 0
    with _Session() as session:
        while True:
            try:
                return _attempt(order, session)
            except _Passing as trouble:
                reached = order.part.stat().st_size if order.part.is_file() else 0
                # Long files on bad lines: only failures that bring nothing new count.
                failures = 1 if reached > furthest else failures + 1
                furthest = max(reached, furthest)
                if failures >= patience.attempts:
                    raise AmidError(
                        f"{order.name} could not be downloaded from {order.shown}: {trouble} "
                        f"(gave up after {failures} attempts); run again later, the "
                        f"{reached} bytes that came are kept."
                    ) from None
                wait = trouble.wait
                if wait is None:
                    wait = patience.pause * 2 ** (failures - 1)
                wait = min(wait, patience.longest)
                order.echo(f"{order.name}: {trouble}; next attempt in {wait:.3g} s.")
                time.sleep(wait)


def _attempt(order: _Order, session: requests.Session) -> _State:
    """One request: returns when the part is complete, else raises _Passing or AmidError."""
    state = order.state_of_part()
    have = order.part.stat().st_size if state else 0
    if state and have == state.total:
        return state
    headers = {"Accept-Encoding": "identity"}
    if state and have:
        headers |= {"Range": f"bytes={have}-", "If-Range": state.validator}
    patience = order.patience
    try:
        response = session.get(
            order.address,
            headers=headers,
            stream=True,
            timeout=(patience.connect, patience.read),
        )
    except requests.RequestException as error:
        raise _translated(order, error) from None
    except _Refused as error:
        raise AmidError(
            f"{order.name} was not downloaded from {order.shown}: {error}; use another address."
        ) from None
    with response:
        _check_status(order, response)
        if response.status_code == 206:
            if not (state and have and _continues(response, have, state)):
                order.drop_part()
                raise _Passing("the file changed on the server, starting again")
        else:
            state, have = _begin(order, response), 0
        _receive(order, response, have, state.total)
    return state


def _begin(order: _Order, response: requests.Response) -> _State:
    """Start an empty part, with the notes of a full response (200)."""
    length = response.headers.get("Content-Length", "")
    state = _State(
        source=order.fingerprint,
        etag=response.headers.get("ETag"),
        modified=response.headers.get("Last-Modified"),
        total=int(length) if length.isdecimal() else None,
    )
    if None not in (order.size, state.total) and state.total != order.size:
        raise AmidError(
            f"{order.name} at {order.shown} has the wrong size (expected {order.size} bytes, the "
            f"server announces {state.total}): check the address and the expected size."
        )
    # Emptied before its notes change, so that old bytes never stand under new notes.
    order.part.write_bytes(b"")
    _write_notes(order.part_notes, asdict(state))
    return state


def _check_status(order: _Order, response: requests.Response) -> None:
    """Raise for any status other than 200 and 206."""
    status = response.status_code
    if status in PASSING_STATUS:
        raise _Passing(f"the server answered {status}", _retry_after(response))
    if status == 416:
        order.drop_part()
        raise _Passing("the server no longer has the rest of the file, starting again")
    if status in (200, 206):
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding == "identity":
            return
        raise AmidError(
            f"{order.name} at {order.shown} is sent re-coded ({encoding}) although the plain file "
            "was asked for: use another address."
        )
    where = "the mirror" if order.is_mirror else "its source"
    if status in (404, 410):
        advice = (
            f"put it there, or take `mirror` out of params.yaml and {MIRROR_VARIABLE} out of the "
            "environment"
            if order.is_mirror
            else "check the record number, or set `mirror` to a folder that holds it"
        )
        raise AmidError(f"{order.name} is not at {where} {order.shown} ({status}): {advice}.")
    raise AmidError(
        f"{order.name} was refused by {where} {order.shown} ({status}): check the address and "
        "your access to it."
    )


def _retry_after(response: requests.Response) -> float | None:
    """Seconds the server asks to wait; None where it does not say."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _continues(response: requests.Response, have: int, state: _State) -> bool:
    """Whether a 206 continues the same file from the byte that was asked for."""
    match = re.fullmatch(
        r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
    )
    if match is None or int(match[1]) != have:
        return False
    if state.total is not None and match[2] not in ("*", str(state.total)):
        return False
    # A server may ignore If-Range; what it says of the file itself must still be the same.
    same_etag = response.headers.get("ETag", state.etag) == state.etag
    return same_etag and response.headers.get("Last-Modified", state.modified) == state.modified


def _receive(order: _Order, response: requests.Response, have: int, total: int | None) -> None:
    """Append the body of a response to the `have` bytes of the part."""
    if total is None and response.status_code == 206:
        said = response.headers["Content-Range"].rpartition("/")[2]
        total = int(said) if said.isdecimal() else None
    chunks = response.iter_content(CHUNK)
    progress = Progress(order.name, total, done=have, of_bytes=True, plain=order.echo)
    order.echo(f"{order.name}: downloading ({progress}).")
    with order.part.open("ab") as file, progress:
        while True:
            try:
                chunk = next(chunks, None)
            except requests.RequestException as error:
                raise _translated(order, error) from None
            if chunk is None:
                break
            file.write(chunk)
            have += len(chunk)
            progress.advance(len(chunk))
    if total is not None and have != total:
        raise _Passing(f"the connection was dropped after {have} of {total} bytes")


def _translated(order: _Order, error: requests.RequestException) -> Exception:
    """An error of requests in our words: its own quote the address, with any password."""
    if isinstance(error, requests.exceptions.SSLError) and _is_certificate(error):
        return AmidError(
            f"{order.name} was not downloaded: the TLS certificate of {order.shown} is not valid; "
            "check the address and this machine's clock and certificates."
        )
    if isinstance(error, requests.Timeout):
        return _Passing("no answer in time")
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return _Passing("the connection was dropped")
    if isinstance(error, requests.ConnectionError):
        return _Passing(f"no connection to {urlsplit(order.address).hostname}, or it was dropped")
    return AmidError(
        f"{order.name} could not be downloaded from {order.shown} ({type(error).__name__}): check "
        "the address."
    )


def _is_certificate(error: BaseException) -> bool:
    """Whether a certificate is the cause; other TLS errors may be a dropped handshake."""
    causes: list[object] = [error]
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        if isinstance(cause, BaseException):
            causes += [cause.__cause__, cause.__context__, *cause.args]
            causes.append(getattr(cause, "reason", None))
    return False
