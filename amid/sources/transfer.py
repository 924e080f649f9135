"""The transfer of one file over HTTP, into a part that a later run may continue.

`requests` does it. Resuming is done here, since a part may only be continued if the server confirms
(If-Range) that it still has the same file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests

from amid.errors import AmidError
from amid.io.progress import Progress
from amid.sources.addresses import MIRROR_VARIABLE, shown
from amid.sources.measures import CHUNK, Measure, fault_of, md5_fault, measure

PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Patience:
    """When to give up. attempts: failures in a row without a new byte; the rest in seconds."""

    attempts: int = 6
    pause: float = 1.0  # before the first repetition; doubles with each
    longest: float = 120.0  # limit of the doubling and of the server's Retry-After
    connect: float = 15.0
    read: float = 60.0


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
class Order:
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
        return shown(self.address)

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


def from_web(order: Order) -> Measure:
    target, echo = order.target, order.echo
    if target.is_file():
        actual = measure(target)
        fault = fault_of(actual, order.sha256, order.size)
        if fault:
            aside = order.rename_rejected(target)
            echo(f"{order.name} already here {fault}: renamed to {aside}, downloading it again.")
        elif order.sha256 is not None or _may_stay(order, actual):
            return actual
        else:
            echo(f"{order.name} already here came from another address: downloading it again.")
    state = _download(order)
    actual = measure(order.part)
    fault = fault_of(actual, order.sha256, order.size) or md5_fault(order.part, state.md5)
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


def _may_stay(order: Order, actual: Measure) -> bool:
    """Whether to keep an unpinned file: it is from this address, or was put there by hand."""
    notes = _read_notes(order.source_notes)
    return notes is None or notes == {"source": order.fingerprint, "sha256": actual.sha256}


def _download(order: Order) -> _State:
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


def _attempt(order: Order, session: requests.Session) -> _State:
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


def _begin(order: Order, response: requests.Response) -> _State:
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


def _check_status(order: Order, response: requests.Response) -> None:
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


def _receive(order: Order, response: requests.Response, have: int, total: int | None) -> None:
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


def _translated(order: Order, error: requests.RequestException) -> Exception:
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
