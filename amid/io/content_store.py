"""A content-addressed store of folders, on a local path or at any URL that fsspec opens.

    objects/<first 2 digits>/<sha256>   what files hold, each content once
    names/<name>.json                   {file: [its sha256, its size]}, written last

So a folder is in the store completely or not at all, even if the process that pushes it is killed;
of two that push at once, one wins; and every pulled file is checked against its sha256.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from amid.errors import INSTALL_SCALE, AmidError, ConfigError
from amid.io.atomic import write_atomic
from amid.io.checksums import cached_sha256, sha256_bytes, sha256_file
from amid.io.redact import redact

Contents = Mapping[str, tuple[str, int]]  # file, relative -> sha256, bytes

# Of these a reader may see a file that is still being written, hence the rename; object stores show
# an object when it is whole.
RENAMED = {"file", "local", "ftp", "sftp", "ssh"}
CACHE_VARIABLE = "AMID_CACHE"


def contents(folder: Path, files: Iterable[str] | None = None) -> Contents:
    """Name, sha256 and size of the files in a folder, or of `files` (nested ones as "a/b")."""
    if files is None:
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        files = [path.relative_to(folder).as_posix() for path in found]
    paths = {name: folder / name for name in files}
    return {name: (cached_sha256(path), path.stat().st_size) for name, path in paths.items()}


def content_name(found: Contents) -> str:
    """A name that depends on the content of a folder: 20 hexadecimal digits."""
    return sha256_bytes(_text(found))[:20]


class ContentStore:
    """Folders below `url`: a path, or an address such as s3://bucket/prefix.

    Raises ConfigError for an address that cannot be used; the message hides its secrets.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"AMID_STORE is {redact(url)}, which cannot be used ({redact(str(error))}): name "
                f"a folder, or a URL whose package is installed: {INSTALL_SCALE}"
            ) from None
        # In it a folder stays as empty as it once was. (As an option not every package takes it.)
        self._files.dircache.use_listings_cache = False
        protocols = self._files.protocol
        names = {protocols} if isinstance(protocols, str) else set(protocols)
        self._renamed, self._here = bool(names & RENAMED), bool(names & {"file", "local"})

    def exists(self, name: str) -> bool:
        """Whether the store has all files of a folder, judged by their sizes."""
        found = self._contents(name)
        return found is not None and all(map(self._holds, found.values()))

    def push(self, folder: Path, name: str, files: Iterable[str] | None = None) -> None:
        """Store a folder, or `files` of it, under a name, in place of what had that name before.
        Files that the store has already are not sent."""
        found, before = contents(folder, files), self._contents(name) or {}
        for file, entry in found.items():
            if not self._holds(entry):
                self._put(folder / file, self._object(entry[0]))
        with tempfile.TemporaryDirectory() as scratch:
            listed = Path(scratch) / "contents.json"
            listed.write_bytes(_text(found))
            self._put(listed, self._listing(name))
        for sha256, _ in set(before.values()) - set(found.values()):
            self._remove(self._object(sha256))

    def drop(self, name: str) -> None:
        """Remove a name and its files. (Another name that shares a file is then incomplete, and is
        made again when it is needed.)"""
        found = self._contents(name) or {}
        self._remove(self._listing(name))
        for sha256, _ in found.values():
            self._remove(self._object(sha256))

    def pull(self, name: str, folder: Path) -> bool:
        """Write the files of a name into `folder`; other files there stay.

        Returns False, with nothing written, if the store does not have all of them. A damaged file
        is reported on stderr.
        """
        found = self._contents(name)
        if found is None:
            return False
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pull.", dir=folder) as scratch:
            part = Path(scratch)
            for number, (sha256, _) in enumerate(found.values()):
                try:
                    with self._answering(FileNotFoundError):
                        self._files.get_file(self._object(sha256), str(part / str(number)))
                except FileNotFoundError:
                    return False
                if sha256_file(part / str(number)) != sha256:
                    self._tell_damaged(name, sha256)
                    self._remove(self._object(sha256))  # so that it is sent again
                    return False
            for number, file in enumerate(found):
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (part / str(number)).replace(folder / file)
        return True

    def _contents(self, name: str) -> Contents | None:
        try:
            with self._answering(FileNotFoundError):
                text = self._files.cat_file(self._listing(name))
            listed = json.loads(text)
            found = {str(file): (str(sha256), int(size)) for file, (sha256, size) in listed.items()}
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError):
            self._tell_damaged(name, "list of files")
            return None
        for file in found:  # another may write there: no way out of the folder
            if Path(file).is_absolute() or ".." in Path(file).parts:
                raise AmidError(f"{redact(self.url)}: {name} names the file {file!r}: delete it.")
        return found

    def _holds(self, entry: tuple[str, int]) -> bool:
        sha256, size = entry
        try:
            with self._answering(FileNotFoundError):
                return self._files.info(self._object(sha256))["size"] == size
        except FileNotFoundError:
            return False

    def _put(self, path: Path, target: str) -> None:
        with self._answering():
            if not self._renamed:
                self._files.put_file(str(path), target)
                return
            self._files.makedirs(self._files._parent(target), exist_ok=True)
            part = f"{target}.{uuid.uuid4().hex}.part"
            try:
                self._files.put_file(str(path), part)
                self._files.mv(part, target)
            except BaseException:
                if self._files.exists(part):
                    self._files.rm_file(part)
                raise

    def _remove(self, target: str) -> None:
        with suppress(FileNotFoundError), self._answering(FileNotFoundError):
            self._files.rm_file(target)

    @contextmanager
    def _answering(self, *expected: type[Exception]) -> Iterator[None]:
        """Raise any error of a remote store as AmidError (each fsspec package has errors of its
        own), except those `expected`. Errors of a local folder pass unchanged."""
        try:
            yield
        except Exception as error:
            if self._here or isinstance(error, expected):
                raise
            what = redact(str(error)) or type(error).__name__
            raise AmidError(
                f"the store {redact(self.url)} cannot be used ({what}): see "
                "that it is there and lets this user in, then run the same command again."
            ) from None

    def _object(self, sha256: str) -> str:
        return f"{self._root}/objects/{sha256[:2]}/{sha256}"

    def _listing(self, name: str) -> str:
        return f"{self._root}/names/{name}.json"

    def _tell_damaged(self, name: str, what: str) -> None:
        line = f"warning: {redact(self.url)}: of {name}, {what} is damaged: it is made again."
        print(line, file=sys.stderr, flush=True)


def cache_folder() -> Path:
    """The folder for pulled files: AMID_CACHE, or a folder of this user's own in the temporary
    folder. Raises AmidError if that belongs to another user."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    folder = Path(tempfile.gettempdir()) / f"amid-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()  # another's link may lead to a folder of this user's
    if about.st_uid != os.getuid() or not stat.S_ISDIR(about.st_mode):
        raise AmidError(f"{folder} is another user's: set {CACHE_VARIABLE} to a folder of yours.")
    return folder


def cached(remote: ContentStore, name: str, folder: Path) -> Path:
    """Pull a name that depends on its content (`content_name`) into `folder`; returns `folder`.

    It is pulled once per machine, however many processes ask at once. Raises AmidError if the store
    does not have it.
    """
    whole = folder / ".whole"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            if not remote.pull(name, folder):
                raise AmidError(
                    f"{redact(remote.url)} has no {name}, or not all of it: run the stage again, "
                    "which pushes it."
                )
            write_atomic(whole, b"")
    return folder


def _text(found: Contents) -> bytes:
    values: dict[str, Any] = {name: list(found[name]) for name in sorted(found)}
    return (json.dumps(values, indent=1) + "\n").encode()
