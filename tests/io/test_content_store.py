"""The store that may be elsewhere: whole folders or none, on file systems and object stores."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from amid.errors import AmidError, ConfigError
from amid.io.content_store import ContentStore, cache_folder, cached, content_name, contents
from tests.small import ROOT


@pytest.fixture(params=["path", "file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    store = tmp_path / "store"
    named = {"path": str(store), "file": store.as_uri(), "memory": f"memory://{uuid.uuid4().hex}"}
    return named[request.param]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "run"
    (place / "deep").mkdir(parents=True)
    (place / "record.json").write_text("{}")
    (place / "deep" / "model.bin").write_bytes(os.urandom(10_000))
    (place / "empty").write_bytes(b"")
    return place


def held(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in contents(folder)}


def test_what_is_pulled_is_what_was_pushed(url: str, folder: Path, tmp_path: Path) -> None:
    remote, there = ContentStore(url), tmp_path / "there"
    assert not remote.exists("runs/one")
    assert not remote.pull("runs/one", there)
    assert not there.exists()
    remote.push(folder, "runs/one")
    assert ContentStore(url).exists("runs/one")
    assert ContentStore(url).pull("runs/one", there)
    assert held(there) == held(folder)


def test_chosen_files_alone_are_pushed_and_others_beside_them_stay(url, folder, tmp_path) -> None:
    ContentStore(url).push(folder, "one", ["record.json"])
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "other").write_text("mine")
    assert ContentStore(url).pull("one", tmp_path / "there")
    assert held(tmp_path / "there") == {"record.json": b"{}", "other": b"mine"}


def test_a_second_push_of_a_name_replaces_the_first_whole(url, folder, tmp_path) -> None:
    """A checkpoint is pushed again and again under its run's name."""
    remote = ContentStore(url)
    remote.push(folder, "one")
    (folder / "record.json").write_text('{"epoch": 2}')
    remote.push(folder, "one")
    remote.push(folder, "one")
    assert remote.pull("one", tmp_path / "there")
    assert held(tmp_path / "there") == held(folder)


def broken(remote: ContentStore, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """The store breaks off in the middle of writing the file after `after` others."""
    put, count = remote._files.put_file, iter(range(10**6))

    def put_file(path: str, target: str) -> None:
        put(path, target)
        if next(count) == after:
            raise ConnectionError("broken off")

    monkeypatch.setattr(remote._files, "put_file", put_file)


@pytest.mark.parametrize("after", range(3))
def test_a_push_that_breaks_off_is_not_seen(url, folder, tmp_path, monkeypatch, after) -> None:
    remote = ContentStore(url)
    with monkeypatch.context() as patched:
        broken(remote, patched, after)
        elsewhere = url.startswith("memory:")
        with pytest.raises(AmidError if elsewhere else ConnectionError, match="broken off"):
            remote.push(folder, "one")
    assert not remote.exists("one")
    assert not remote.pull("one", tmp_path / "there")
    remote.push(folder, "one")
    assert remote.pull("one", tmp_path / "there")
    assert held(tmp_path / "there") == held(folder)


def test_a_damaged_object_is_found_dropped_and_sent_again(url, folder, tmp_path, capsys) -> None:
    remote = ContentStore(url)
    remote.push(folder, "one")
    target = remote._object(contents(folder)["deep/model.bin"][0])
    whole = remote._files.cat_file(target)
    remote._files.pipe_file(target, whole[:5000] + b"\x00" + whole[5001:])
    if whole[5000:5001] == b"\x00":
        remote._files.pipe_file(target, whole[:5000] + b"\x01" + whole[5001:])
    assert remote.exists("one")  # its size is right
    assert not remote.pull("one", tmp_path / "there")
    assert "damaged" in capsys.readouterr().err
    assert held(tmp_path / "there") == {}
    assert not remote.exists("one")
    remote.push(folder, "one")
    assert remote.pull("one", tmp_path / "there")
    remote._files.pipe_file(target, whole[:100])  # cut short: seen by its size alone
    assert not remote.exists("one")


@pytest.mark.parametrize("text", ["", "[1]", '{"a": 3}', '{"a": ["00"'])
def test_a_damaged_list_of_files_is_no_folder(url, folder, tmp_path, text, capsys) -> None:
    remote = ContentStore(url)
    remote.push(folder, "one")
    remote._files.pipe_file(remote._listing("one"), text.encode())
    assert not remote.exists("one")
    assert not remote.pull("one", tmp_path / "there")
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside"])
def test_a_list_of_files_leads_nowhere_else(url, folder, tmp_path, name) -> None:
    remote = ContentStore(url)
    remote.push(folder, "one", ["record.json"])
    entry = list(contents(folder, ["record.json"])["record.json"])
    remote._files.pipe_file(remote._listing("one"), json.dumps({name: entry}).encode())
    with pytest.raises(AmidError, match="outside"):
        remote.pull("one", tmp_path / "there")
    assert not (tmp_path / "outside").exists()


PUSH = """
import sys
from pathlib import Path
from amid.io.content_store import ContentStore
ContentStore(sys.argv[2]).push(Path(sys.argv[1]), "one")
"""


@pytest.mark.slow
def test_a_push_that_is_killed_is_not_seen_or_whole(folder: Path, tmp_path: Path) -> None:
    """kill -9 at moments all over a push of 60 MB: nothing, or every byte."""
    (folder / "large").write_bytes(os.urandom(60_000_000))
    command = [sys.executable, "-c", PUSH, str(folder)]
    url, kills = str(tmp_path / "store"), 0
    for moment in range(6):
        process = subprocess.Popen([*command, url], cwd=ROOT)
        while process.poll() is None and not (tmp_path / "store").exists():
            time.sleep(0.001)
        time.sleep(0.02 * moment)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        whole = ContentStore(url).pull("one", tmp_path / f"there{moment}")
        assert whole == ContentStore(url).exists("one")
        if whole:
            assert held(tmp_path / f"there{moment}") == held(folder)
            break
    assert kills
    assert subprocess.run([*command, url], cwd=ROOT, check=False).returncode == 0
    assert ContentStore(url).pull("one", tmp_path / "there")
    assert held(tmp_path / "there") == held(folder)


def test_data_are_pulled_once_a_machine(url, folder, tmp_path, monkeypatch) -> None:
    remote = ContentStore(url)
    name = f"data/{content_name(contents(folder))}"
    with pytest.raises(AmidError, match="has no data/"):
        cached(remote, name, tmp_path / "cache" / "of a store" / "data")
    remote.push(folder, name)
    pulls: list[str] = []
    pull: Callable[..., bool] = ContentStore.pull
    monkeypatch.setattr(
        ContentStore, "pull", lambda self, n, f: pulls.append(n) or pull(self, n, f)
    )
    for _ in range(3):
        there = cached(remote, name, tmp_path / "cache" / "of a store" / "data")
    assert pulls == [name]
    assert held(folder).items() < held(there).items()


def test_the_name_of_a_content_depends_on_it_alone(folder: Path, tmp_path: Path) -> None:
    files = list(contents(folder))
    name = content_name(contents(folder))
    assert content_name(contents(folder, files[::-1])) == name
    (folder / "empty").write_bytes(b"x")
    assert content_name(contents(folder)) != name


def test_an_address_that_cannot_be_used_is_one_sentence_without_its_password() -> None:
    for url in ("nowhere://user:secretword@host/x", "s3x://user:secretword@bucket"):
        with pytest.raises(ConfigError, match="AMID_STORE") as caught:
            ContentStore(url)
        assert "secretword" not in str(caught.value)
        assert "pip install" in str(caught.value)


def test_the_cache_is_a_folder_of_this_user(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AMID_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("AMID_CACHE")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder().stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr("os.getuid", lambda: 12345)
    (tmp_path / "amid-12345").mkdir()
    with pytest.raises(AmidError, match="another user's"):
        cache_folder()


def test_a_link_in_the_place_of_the_cache_is_not_followed(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("AMID_CACHE", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"amid-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AmidError, match="AMID_CACHE"):
        cache_folder()


def test_an_object_store_is_written_in_place_and_a_folder_by_renaming(tmp_path, folder) -> None:
    """An object is seen when it is whole; renaming one there is a copy."""
    for url, parts in ((str(tmp_path / "store"), True), (f"memory://{uuid.uuid4().hex}", False)):
        remote, targets = ContentStore(url), []
        put = remote._files.put_file
        remote._files.put_file = lambda path, target, put=put, targets=targets: (
            targets.append(target) or put(path, target)
        )
        try:
            remote.push(folder, "one")
        finally:
            del remote._files.put_file
        assert targets
        assert {target.endswith(".part") for target in targets} == {parts}


def test_what_another_added_to_the_store_is_seen_at_once(tmp_path, folder) -> None:
    remote = ContentStore((tmp_path / "store").as_uri())
    assert not remote.exists("one")
    assert not remote._files.dircache.use_listings_cache
    ContentStore(str(tmp_path / "store")).push(folder, "one")
    assert remote.exists("one")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """An S3 of this machine's own, on 127.0.0.1, for the time of a test."""
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed: requirements-scale.txt")
    import s3fs

    moto = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secretword")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{moto.get_host_and_port()[1]}")
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().makedirs("bucket", exist_ok=True)
    yield "s3://bucket/amid"
    moto.stop()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.slow
def test_an_object_store(bucket: str, folder: Path, tmp_path: Path, monkeypatch) -> None:
    """An upload that breaks off, then a whole one, seen by another who looked before."""
    remote, other, there = ContentStore(bucket), ContentStore(bucket), tmp_path / "there"
    with monkeypatch.context() as patched:
        broken(remote, patched, 1)
        with pytest.raises(AmidError, match="broken off"):
            remote.push(folder, "runs/one")
    assert not other.pull("runs/one", there)
    remote.push(folder, "runs/one")
    assert other.pull("runs/one", there)
    assert held(there) == held(folder)
    remote.drop("runs/one")
    assert not other.exists("runs/one")


@pytest.mark.slow
def test_an_object_store_that_refuses_or_is_away_is_one_sentence(
    bucket: str, folder: Path, monkeypatch
) -> None:
    nowhere = ContentStore("s3://nobucket/amid")
    assert not nowhere.exists("one")
    with pytest.raises(AmidError, match=r"nobucket/amid cannot be used .*does not exist"):
        nowhere.push(folder, "one")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    type(nowhere._files).clear_instance_cache()
    with pytest.raises(AmidError, match=r"bucket/amid cannot be used .*Could not connect"):
        ContentStore(bucket).exists("one")
