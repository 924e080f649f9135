"""Files and folders are replaced as a whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from amid.errors import AmidError, StorageError
from amid.io.atomic import remove, replace_dir, write_atomic
from tests.small import ROOT

KILLED = """
import os, sys
from pathlib import Path
from amid.io.atomic import replace_dir
with replace_dir(Path(sys.argv[1])) as part:
    (part / "half").write_bytes(b"half")
    os._exit(9)
"""


def test_a_file_is_replaced_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "deeper" / "file"
    for data in (b"one", b"two"):
        write_atomic(path, data)
        assert path.read_bytes() == data
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path, monkeypatch) -> None:
    write_atomic(tmp_path / "file", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(tmp_path / "file", b"new")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"file": b"old"}


def held(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.txt")}


def test_a_folder_replaces_the_former_one_with_all_it_held(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    for name in ("one.txt", "two.txt"):
        with replace_dir(target) as part:
            assert not any(part.iterdir())
            (part / name).write_bytes(b"x")
        assert held(target) == {name: b"x"}
    assert [p.name for p in target.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_file_or_link_in_its_place_is_replaced_alone(tmp_path: Path, kind: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept.txt").write_bytes(b"kept")
    target = tmp_path / "out"
    if kind == "file":
        target.write_bytes(b"file")
    else:
        target.symlink_to(tmp_path / "elsewhere")
    with replace_dir(target) as part:
        (part / "new.txt").write_bytes(b"new")
    assert held(target) == {"new.txt": b"new"}
    assert not target.is_symlink()
    assert held(tmp_path / "elsewhere") == {"kept.txt": b"kept"}


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_in_the_block_is_passed_on_and_changes_nothing(tmp_path: Path, error) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old.txt").write_bytes(b"old")

    def fails() -> None:
        with replace_dir(target) as part:
            (part / "new.txt").write_bytes(b"new")
            raise error

    with pytest.raises(type(error)):
        fails()
    assert held(tmp_path) == {"out/old.txt": b"old"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_a_kill_left_is_removed_by_the_next_call(tmp_path: Path) -> None:
    target = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, str(target)], cwd=ROOT, check=False)
    assert done.returncode == 9
    assert not target.exists()
    assert (tmp_path / ".out.partial" / "half").exists()
    with replace_dir(target) as part:
        assert not any(part.iterdir())
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_the_disk_refuses_is_one_sentence(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StorageError, match=r"out cannot be used: no room is left"):  # noqa: SIM117
        with replace_dir(tmp_path / "out"):
            raise full
    with pytest.raises(AmidError, match=r"^a.zip failed: No space left on device; free"):  # noqa: SIM117
        with replace_dir(tmp_path / "out", "a.zip failed"):
            raise full
    with pytest.raises(AmidError, match=r"out could not be written: lost; free"):  # noqa: SIM117
        with replace_dir(tmp_path / "out"):
            raise OSError("lost")


def test_removing_takes_whatever_is_there(tmp_path: Path) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    remove(tmp_path / "link")
    assert (tmp_path / "folder" / "deep").is_dir()
    remove(tmp_path / "folder")
    remove(tmp_path / "folder")
    assert not any(tmp_path.iterdir())
