"""Listings of the programs that unpack .rar, as those programs print them."""

from __future__ import annotations

from pathlib import Path

import pytest

from amid.errors import AmidError
from amid.sources.rar import Limits as RarLimits
from amid.sources.rar import Listed, _check, _kept, _read_7z, _read_bsdtar, _read_unrar

UNRAR = """
UNRAR 6.21 freeware      Copyright (c) 1993-2023 Alexander Roshal

Archive: UCF101.rar
Details: RAR 4

        Name: UCF-101/A/v a.avi
        Type: File
        Size: 3
 Packed size: 3
       Ratio: 100%
       mtime: 2013-10-01 10:00:00,000
  Attributes: ..A....
       CRC32: 12345678
     Host OS: Windows
 Compression: RAR 3.0(v29) -m3 -md=4M

        Name: UCF-101/link
        Type: Unix symbolic link
      Target: /etc/passwd
        Size: 11

        Name: UCF-101
        Type: Directory
  Attributes: .D.....

     Service: EOF
"""
SEVEN = """
7-Zip [64] 16.02 : Copyright (c) 1999-2016 Igor Pavlov : 2016-05-21

Listing archive: t.zip

--
Path = t.zip
Type = zip
Physical Size = 852

----------
Path = UCF-101
Folder = +
Size = 0
Attributes = D drwxr-xr-x

Path = UCF-101/link
Folder = -
Size = 11
Attributes =  lrwxrwxrwx

Path = UCF-101/A/v a.avi
Folder = -
Size = 3
Attributes =  -rw-r--r--
Encrypted = -
"""
BSDTAR = """\
drwxr-xr-x  0 0      0           0 Nov 25 23:52 UCF-101/
lrwxrwxrwx  0 0      0           0 Nov 25 23:52 UCF-101/link -> /etc/passwd
hrw-r--r--  0 0      0           0 Nov 25 23:52 UCF-101/hard link to UCF-101/A/v a.avi
-rw-r--r--  0 0      0           3 Oct  1  2013 UCF-101/A/v a.avi
"""


@pytest.mark.parametrize(
    ("read", "text"), [(_read_unrar, UNRAR), (_read_7z, SEVEN), (_read_bsdtar, BSDTAR)]
)
def test_files_folders_and_links_are_told_apart(read, text: str) -> None:
    found = {entry.name: entry for entry in read(text)}
    assert found["UCF-101/A/v a.avi"] == Listed("UCF-101/A/v a.avi", "file", 3)
    assert found["UCF-101"].kind == "folder"
    links = [entry for name, entry in found.items() if "link" in name]
    assert links
    assert {entry.kind for entry in links} == {"other"}


def test_a_line_that_is_not_understood_is_no_file() -> None:
    assert _read_bsdtar("what is this\n") == [Listed("what is this", "other", 0)]


def test_more_than_the_limits_is_refused() -> None:
    entries = [Listed(f"{n}.avi", "file", 10) for n in range(3)]
    _check(Path("x.rar"), entries, RarLimits(entries=3, size=30))
    for limits in (RarLimits(entries=2), RarLimits(size=29)):
        with pytest.raises(AmidError, match="holds more than"):
            _check(Path("x.rar"), entries, limits)
    with pytest.raises(AmidError, match="holds no file"):
        _check(Path("x.rar"), [Listed("a", "folder", 0)], RarLimits())


def test_a_hard_link_that_the_listing_calls_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "link").hardlink_to(tmp_path / "mine.txt")
    with pytest.raises(AmidError, match=r"'link' is not what the listing"):
        _kept(Path("x.rar"), tmp_path / "new", {"link"})
