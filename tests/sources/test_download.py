"""The downloader against a server on this machine that drops, lies and refuses."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from amid.errors import AmidError
from amid.io import progress
from amid.sources import transfer
from amid.sources.download import Obtained, Patience, obtain, resolve_mirror

CONTENT = random.Random(0).randbytes(1_000_000)
OTHER = random.Random(1).randbytes(1_000_000)
HURRIED = Patience(attempts=3, pause=0.001, longest=0.01, connect=2.0, read=2.0)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Site:
    """One file behind an address; each request is answered by the next step of the script."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.etag: str | None = '"one"'
        self.modified: str | None = None
        self.script: list[Callable[[Handler], None]] = []
        self.requests: list[dict[str, str]] = []  # headers, and the path as `path`
        self.address = ""

    @property
    def ranges(self) -> list[str | None]:
        return [request.get("range") for request in self.requests]


def start_of(asked: str) -> int:
    """From which byte on a request asks for the rest."""
    return int(re.fullmatch(r"bytes=(\d+)-", asked)[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.site.requests.append({**headers, "path": self.path})
        step = self.site.script.pop(0) if self.site.script else serve
        step(self)

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if self.site.etag:
            self.send_header("ETag", self.site.etag)
        if self.site.modified:
            self.send_header("Last-Modified", self.site.modified)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def drop(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True


def serve(handler: Handler, *, until: int | None = None, heeds_if_range: bool = True) -> None:
    """A proper server with Range; with `until` the connection drops after that byte of the file."""
    site = handler.site
    asked = handler.headers.get("Range")
    condition = handler.headers.get("If-Range")
    start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
    if heeds_if_range and condition not in (None, site.etag, site.modified):
        start = 0
    size = len(site.content)
    if start:
        span = f"bytes {start}-{size - 1}/{size}"
        handler.head(206, size - start, Content_Range=span)
    else:
        handler.head(200, size)
    if until is None:
        handler.wfile.write(site.content[start:])
    else:
        handler.wfile.write(site.content[start:until])
        handler.drop()


def dropping(until: int) -> Callable[[Handler], None]:
    return lambda handler: serve(handler, until=until)


def status(code: int, **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.head(code, 0, **headers)


def without_range(handler: Handler, until: int | None = None) -> None:
    handler.head(200, len(handler.site.content))
    handler.wfile.write(handler.site.content[:until])
    if until is not None:
        handler.drop()


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests; everything else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def running(context: ssl.SSLContext | None = None) -> Iterator[Site]:
    site = Site()
    server = Server(("127.0.0.1", 0), type("H", (Handler,), {"site": site}))
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    scheme = "http" if context is None else "https"
    site.address = f"{scheme}://127.0.0.1:{server.server_port}/files/a.zip"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as site:
        yield site


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def fetch(site: Site, tmp_path: Path) -> Callable[..., Obtained]:
    """`obtain` of a.zip, the sum of CONTENT pinned unless told otherwise; it says `.lines`."""
    lines: list[str] = []

    def call(**changes: object) -> Obtained:
        options = {
            "url": site.address,
            "target": tmp_path / "cache" / "a.zip",
            "mirror": None,
            "sha256": digest(CONTENT),
            "pin_under": "options.sha256 of dataset/grid.yaml",
            "patience": HURRIED,
            "echo": lines.append,
        }
        return obtain("a.zip", **(options | changes))

    call.lines = lines
    return call


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"a.zip.lock", "a.zip.source.json"}


# ------------------------------------------------------------------------- the straight way


def test_whole_file_is_downloaded_checked_and_not_fetched_again(site, fetch, tmp_path):
    got = fetch()
    assert got == Obtained(
        "a.zip", len(CONTENT), digest(CONTENT), True, tmp_path / "cache" / "a.zip"
    )
    assert got.path.read_bytes() == CONTENT
    assert left_in(got.path.parent) == {"a.zip"}
    assert fetch() == got
    assert len(site.requests) == 1
    assert site.requests[0]["accept-encoding"] == "identity"


def test_record_holds_nothing_of_the_machine(fetch):
    assert fetch().record() == {
        "name": "a.zip",
        "size": len(CONTENT),
        "sha256": digest(CONTENT),
        "pinned": True,
    }


def test_unpinned_sum_is_recorded_and_the_line_to_pin_it_printed(fetch):
    got = fetch(sha256=None)
    assert (got.pinned, got.sha256) == (False, digest(CONTENT))
    assert fetch.lines[-1].splitlines()[-1] == f'a.zip: "{digest(CONTENT)}"'
    assert "options.sha256 of dataset/grid.yaml" in fetch.lines[-1]


def test_upper_case_sum_is_the_same_sum(fetch):
    assert fetch(sha256=digest(CONTENT).upper()).sha256 == digest(CONTENT)


def test_a_length_the_server_does_not_know_is_accepted(site, fetch):
    def chunked(handler: Handler) -> None:
        handler.head(200, None, Transfer_Encoding="chunked")
        for start in range(0, len(CONTENT), 300_000):
            piece = CONTENT[start : start + 300_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    site.script = [chunked]
    assert fetch().path.read_bytes() == CONTENT


def test_progress_lines_where_there_is_no_terminal(fetch, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_SECONDS", -1.0)
    fetch()
    assert fetch.lines[0] == "a.zip: downloading (0.0/1.0 MB)."
    assert fetch.lines[-1] == "a.zip 1.0/1.0 MB"


# ---------------------------------------------------------------------------- resuming


def test_a_dropped_connection_is_resumed_where_it_broke(site, fetch):
    site.script = [dropping(600_000)]
    assert fetch().path.read_bytes() == CONTENT
    start = int(site.ranges[1].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= 600_000
    assert site.requests[1]["if-range"] == '"one"'


def test_failures_that_bring_new_bytes_do_not_count_against_the_patience(site, fetch):
    site.script = [dropping(until) for until in range(150_000, 1_000_000, 150_000)]
    assert fetch().path.read_bytes() == CONTENT
    assert len(site.requests) > HURRIED.attempts


def test_a_later_run_goes_on_with_the_part(site, fetch, tmp_path):
    site.script = [dropping(600_000)]
    with pytest.raises(AmidError, match=r"dropped.*run again later, the \d{6} bytes that came are"):
        fetch(patience=Patience(attempts=1))
    part = (tmp_path / "cache" / "a.zip.part").stat().st_size
    assert part > 0
    assert not (tmp_path / "cache" / "a.zip").exists()
    assert fetch().path.read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={part}-"]


def test_kill_in_the_middle_then_the_rest_alone_is_fetched(site, fetch, tmp_path):
    def slow(handler: Handler) -> None:
        handler.head(200, len(CONTENT))
        handler.wfile.write(CONTENT[:500_000])
        handler.wfile.flush()
        stopped.wait(30)

    stopped = threading.Event()
    site.script = [slow]
    code = (
        "import sys; from pathlib import Path; from amid.sources.download import obtain\n"
        "obtain('a.zip', sys.argv[1], Path(sys.argv[2]), mirror=None, sha256=None)"
    )
    target = tmp_path / "cache" / "a.zip"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.Popen(
        [sys.executable, "-c", code, site.address, str(target)], env=environment
    )
    part = target.with_name("a.zip.part")
    try:
        deadline = time.monotonic() + 30
        while not (part.is_file() and part.stat().st_size >= 400_000):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        stopped.set()
    have = part.stat().st_size
    assert not target.exists()
    assert fetch().path.read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={have}-"]


def test_a_whole_part_left_by_a_kill_needs_no_request(site, fetch, tmp_path):
    site.script = [dropping(600_000)]
    with pytest.raises(AmidError):
        fetch(patience=Patience(attempts=1))
    (tmp_path / "cache" / "a.zip.part").write_bytes(CONTENT)
    assert fetch().path.read_bytes() == CONTENT
    assert len(site.requests) == 1


def test_a_server_without_range_starts_again_from_zero(site, fetch):
    site.script = [dropping(600_000), without_range]
    assert fetch().path.read_bytes() == CONTENT
    assert 0 < start_of(site.ranges[1]) <= 600_000


def test_a_server_without_range_that_always_drops_ends_in_a_sentence(site, fetch):
    site.script = [lambda handler: without_range(handler, 300_000)] * 10
    with pytest.raises(AmidError, match="dropped"):
        fetch()
    assert len(site.requests) == HURRIED.attempts


def test_a_file_changed_between_the_parts_is_not_glued(site, fetch):
    """The server heeds If-Range, so it answers with the whole new file."""

    def change_and_serve(handler: Handler) -> None:
        site.content, site.etag = OTHER, '"two"'
        serve(handler)

    site.script = [dropping(600_000), change_and_serve]
    assert fetch(sha256=None).path.read_bytes() == OTHER
    assert site.requests[1]["if-range"] == '"one"'


@pytest.mark.parametrize("sign", ["etag", "modified", "total"])
def test_a_changed_file_is_noticed_although_the_server_ignores_if_range(site, fetch, sign):
    site.modified = formatdate(1_000_000_000, usegmt=True)

    def change_and_serve(handler: Handler) -> None:
        site.content = OTHER
        if sign == "etag":
            site.etag = '"two"'
        elif sign == "modified":
            site.modified = formatdate(1_100_000_000, usegmt=True)
        else:
            site.content = OTHER + b"!"
        serve(handler, heeds_if_range=False)

    site.script = [dropping(600_000), change_and_serve]
    assert fetch(sha256=None).path.read_bytes() == site.content
    assert 0 < start_of(site.ranges[1]) <= 600_000
    assert site.ranges[2] is None
    assert any("changed on the server" in line for line in fetch.lines)


def test_a_server_that_gives_the_rest_in_pieces(site, fetch):
    def piece(handler: Handler) -> None:
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        end = min(start + 150_000, len(CONTENT))
        handler.head(206, end - start, Content_Range=f"bytes {start}-{end - 1}/{len(CONTENT)}")
        handler.wfile.write(CONTENT[start:end])

    site.script = [dropping(600_000), *[piece] * 10]
    assert fetch(sha256=None).path.read_bytes() == CONTENT


def test_two_at_once_download_once(site, fetch):
    def slow(handler: Handler) -> None:
        time.sleep(0.1)
        serve(handler)

    site.script = [slow, slow]
    results: list[Obtained] = []
    threads = [threading.Thread(target=lambda: results.append(fetch())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1]
    assert len(site.requests) == 1


def test_a_rest_that_starts_elsewhere_is_not_glued(site, fetch):
    def shifted(handler: Handler) -> None:
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-")) - 10
        size = len(CONTENT)
        handler.head(206, size - start - 10, Content_Range=f"bytes {start}-{size - 11}/{size}")
        handler.wfile.write(CONTENT[start : size - 10])

    site.script = [dropping(600_000), shifted]
    assert fetch(sha256=None).path.read_bytes() == CONTENT


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_firm_etag_the_date_tells_or_the_download_starts_again(site, fetch, etag):
    site.etag, site.script = etag, [dropping(600_000)]
    assert fetch().path.read_bytes() == CONTENT
    assert site.ranges == [None, None]

    site.requests.clear()
    site.modified = formatdate(1_000_000_000, usegmt=True)
    site.script = [dropping(600_000)]
    (fetch().path).unlink()
    assert fetch().path.read_bytes() == CONTENT
    assert site.ranges[0] is None
    assert 0 < start_of(site.ranges[1]) <= 600_000
    assert site.requests[-1]["if-range"] == site.modified


def test_a_part_of_another_address_is_not_continued(site, fetch):
    site.script = [dropping(600_000)]
    with pytest.raises(AmidError):
        fetch(patience=Patience(attempts=1))
    site.content = OTHER  # behind the other address, under the same ETag
    other = site.address.replace("/files/", "/others/")
    assert fetch(url=other, sha256=None).path.read_bytes() == OTHER
    assert site.ranges[1] is None


def test_416_starts_again(site, fetch):
    site.script = [dropping(600_000), status(416)]
    assert fetch().path.read_bytes() == CONTENT
    assert [span is None for span in site.ranges] == [True, False, True]


# --------------------------------------------------------------------- servers in trouble


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_passing_troubles_are_tried_again(site, fetch, code):
    site.script = [status(code), status(code)]
    assert fetch().path.read_bytes() == CONTENT
    assert sum(f"answered {code}" in line for line in fetch.lines) == 2


def test_retry_after_is_heeded_up_to_the_patience(site, fetch, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(transfer.time, "sleep", waits.append)
    soon = formatdate(time.time() + 3600, usegmt=True)
    site.script = [
        status(429, Retry_After="7"),
        status(503, Retry_After=soon),
        status(503, Retry_After="soon"),
    ]
    fetch(patience=Patience(attempts=4, pause=0.5, longest=30.0))
    assert waits == [7.0, 30.0, 2.0]


def test_a_server_that_stays_away_ends_in_a_sentence(site, fetch):
    site.script = [status(503)] * 10
    with pytest.raises(
        AmidError, match=r"a\.zip could not .*answered 503 \(gave up after 3 attempts\)"
    ):
        fetch()
    assert len(site.requests) == 3


def test_a_server_that_says_nothing_runs_into_the_timeout(site, fetch):
    stopped = threading.Event()
    site.script = [lambda handler: stopped.wait(10)]
    with pytest.raises(AmidError, match="no answer in time"):
        fetch(patience=Patience(attempts=1, read=0.1))
    stopped.set()


def test_no_server_at_all(fetch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/a.zip"
        with pytest.raises(AmidError, match=r"no connection to 127\.0\.0\.1"):
            fetch(url=address)


def test_404_is_told_at_once(site, fetch):
    site.script = [status(404)]
    with pytest.raises(AmidError, match=r"a\.zip is not at its source http.*404.*record number"):
        fetch()
    assert len(site.requests) == 1


def test_403_is_told_at_once(site, fetch):
    site.script = [status(403)]
    with pytest.raises(AmidError, match=r"a\.zip was refused by its source .*403"):
        fetch()
    assert len(site.requests) == 1


def test_a_recoded_file_is_refused(site, fetch):
    site.script = [status(200, Content_Encoding="gzip")]
    with pytest.raises(AmidError, match=r"re-coded \(gzip\)"):
        fetch()


# ------------------------------------------------------------------------ wrong contents


def test_wrong_sum_names_both_and_sets_the_file_aside(site, fetch, tmp_path):
    site.content = OTHER
    neighbour = tmp_path / "cache" / "b.zip"
    neighbour.parent.mkdir()
    neighbour.write_bytes(b"mine")
    with pytest.raises(AmidError) as caught:
        fetch()
    text = str(caught.value)
    assert digest(CONTENT) in text
    assert digest(OTHER) in text
    assert "renamed to a.zip.bad; run again" in text
    assert left_in(tmp_path / "cache") == {"a.zip.bad", "b.zip"}
    assert neighbour.read_bytes() == b"mine"

    site.content = CONTENT
    assert fetch().path.read_bytes() == CONTENT


def test_a_file_already_here_with_the_wrong_sum_is_replaced(fetch, tmp_path):
    target = tmp_path / "cache" / "a.zip"
    target.parent.mkdir()
    target.write_bytes(OTHER)
    assert fetch().path.read_bytes() == CONTENT
    assert target.with_name("a.zip.bad").read_bytes() == OTHER
    assert "renamed to a.zip.bad" in fetch.lines[0]


def test_a_file_put_there_by_hand_is_taken(site, fetch, tmp_path):
    target = tmp_path / "cache" / "a.zip"
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    assert fetch().path.read_bytes() == CONTENT
    assert fetch(sha256=None).path.read_bytes() == CONTENT
    assert site.requests == []


def test_unpinned_copies_of_one_address_are_not_taken_for_another(site, fetch):
    fetch(sha256=None)
    fetch(sha256=None)
    assert len(site.requests) == 1
    site.content = OTHER
    other = site.address.replace("/files/", "/others/")
    assert fetch(sha256=None, url=other).sha256 == digest(OTHER)
    assert any("another address" in line for line in fetch.lines)


def test_an_announced_size_that_is_wrong_is_told_before_the_body(fetch, tmp_path):
    with pytest.raises(AmidError, match=r"wrong size \(expected 999 bytes.*announces 1000000\)"):
        fetch(size=999)
    assert left_in(tmp_path / "cache") == set()


def test_a_size_that_is_wrong_in_the_end(site, fetch):
    def without_length(handler: Handler) -> None:
        handler.head(200, None, Connection="close")
        handler.wfile.write(CONTENT)
        handler.close_connection = True

    site.script = [without_length]
    with pytest.raises(AmidError, match=r"wrong size \(expected 999 bytes, got 1000000\)"):
        fetch(size=999)


def test_the_md5_a_server_names_its_file_by_is_held_against_it(site, fetch):
    site.etag = f'"md5:{hashlib.md5(OTHER).hexdigest()}"'
    with pytest.raises(AmidError, match="another md5"):
        fetch(sha256=None)
    site.etag = f'"md5:{hashlib.md5(CONTENT).hexdigest()}"'
    assert fetch(sha256=None).path.read_bytes() == CONTENT


# ---------------------------------------------------------------------------- addresses


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://host/a.zip", "http:///a.zip"])
def test_only_web_addresses(fetch, address):
    for way in ({"url": address}, {"mirror": address}):
        with pytest.raises(AmidError, match="give an http or https address"):
            fetch(**way)


def test_a_malformed_address(fetch):
    with pytest.raises(AmidError, match="malformed"):
        fetch(mirror="http://[::1/files")


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/a.zip"])
def test_redirections_out_of_the_web_are_not_followed(site, fetch, place):
    site.script = [status(302, Location=place)]
    with pytest.raises(AmidError, match=r"redirects from http to (file|ftp)"):
        fetch()


def test_redirections_inside_are_followed_and_endless_ones_end(site, fetch):
    site.script = [status(302, Location="/elsewhere/a.zip")]
    assert fetch().path.read_bytes() == CONTENT
    assert site.requests[1]["path"] == "/elsewhere/a.zip"
    site.script = [status(302, Location="/again")] * 40
    with pytest.raises(AmidError, match="TooManyRedirects"):
        fetch(url=site.address + "2", target=fetch().path.with_name("c.zip"))


def test_no_password_in_any_message_or_note(site, fetch, tmp_path):
    secret = site.address.replace("http://", "http://user:hunter2@") + "?token=hunter2"
    for script in ([status(503)] * 9, [status(404)], [dropping(600_000), status(403)]):
        site.script = script
        with pytest.raises(AmidError) as caught:
            fetch(url=secret)
        assert "127.0.0.1" in str(caught.value)
        assert "hunter2" not in str(caught.value)
    site.script = [status(302, Location="file:///etc/hostname")]
    with pytest.raises(AmidError) as caught:
        fetch(url=secret)
    assert "hunter2" not in str(caught.value)
    assert site.requests[0]["authorization"].startswith("Basic ")
    record = fetch(url=secret).record()  # stands in sources.json, an out
    assert set(record) == {"name", "size", "sha256", "pinned"}
    assert "hunter2" not in "".join([*fetch.lines, *map(str, record.values())])
    for path in (tmp_path / "cache").iterdir():
        assert b"hunter2" not in path.read_bytes()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A file with key and certificate of 127.0.0.1, signed by itself alone."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1))
    builder = builder.not_valid_after(now + timedelta(hours=1))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    pem = serialization.Encoding.PEM
    file = tmp_path / "both.pem"
    file.write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


@pytest.fixture
def secure_site(certificate: Path) -> Iterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with running(context) as site:
        yield site


def test_a_certificate_nobody_trusts_is_refused(secure_site, fetch):
    with pytest.raises(AmidError, match=r"TLS certificate .* not valid"):
        fetch(url=secure_site.address)
    assert secure_site.requests == []


def test_redirections_from_https_to_http_are_not_followed(
    secure_site, site, fetch, certificate, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert fetch(url=secure_site.address, sha256=None).path.read_bytes() == CONTENT
    secure_site.script = [status(302, Location=site.address)]
    with pytest.raises(AmidError, match="redirects from https to http"):
        fetch(url=secure_site.address + "2", sha256=None)
    assert site.requests == []


# ------------------------------------------------------------------------------- mirrors


def test_a_mirror_folder_is_read_where_it_lies(site, fetch, tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "a.zip").write_bytes(CONTENT)
    got = fetch(mirror=str(mirror))
    assert got.path == mirror / "a.zip"
    assert not (tmp_path / "cache").exists()
    assert site.requests == []
    assert [path.name for path in mirror.iterdir()] == ["a.zip"]


def test_a_mirror_folder_without_the_file(fetch, tmp_path):
    with pytest.raises(AmidError) as caught:
        fetch(mirror=str(tmp_path))
    assert f"a.zip is not in the mirror folder {tmp_path}: put it there" in str(caught.value)
    assert "AMID_MIRROR" in str(caught.value)
    with pytest.raises(AmidError, match="is missing: no mirror folder"):
        fetch(mirror=str(tmp_path / "nowhere"))


def test_a_wrong_file_in_a_mirror_folder_is_left_alone(fetch, tmp_path):
    (tmp_path / "a.zip").write_bytes(OTHER)
    with pytest.raises(AmidError, match="replace it there") as caught:
        fetch(mirror=str(tmp_path))
    assert digest(OTHER) in str(caught.value)
    assert digest(CONTENT) in str(caught.value)
    assert (tmp_path / "a.zip").read_bytes() == OTHER
    with pytest.raises(AmidError, match="wrong size"):
        fetch(mirror=str(tmp_path), sha256=None, size=5)


def test_a_mirror_address_holds_the_same_names(site, fetch):
    mirror = site.address.removesuffix("files/a.zip") + "mirror/?key=1"
    assert fetch(mirror=mirror, url="http://127.0.0.1:1/").path.read_bytes() == CONTENT
    assert site.requests[0]["path"] == "/mirror/a.zip?key=1"


def test_a_mirror_address_without_the_file(site, fetch):
    site.script = [status(404)]
    with pytest.raises(AmidError, match=r"a\.zip is not at the mirror .*404.*put it there"):
        fetch(mirror=site.address.removesuffix("/a.zip"))


def test_a_folder_that_cannot_be_made(site, fetch, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(AmidError, match="could not be kept in"):
        fetch()


@pytest.mark.parametrize(
    ("param", "variable", "expected"),
    [
        (None, None, None),
        ("here", None, "here"),
        ("here", "there", "there"),
        (None, " there ", "there"),
        ("here", " ", "here"),
        ("", "", None),
    ],
)
def test_the_environment_names_the_mirror_before_params(param, variable, expected):
    environment = {} if variable is None else {"AMID_MIRROR": variable}
    assert resolve_mirror(param, environment) == expected
