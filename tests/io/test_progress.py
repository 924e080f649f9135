"""What people read while they wait: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from amid.io import progress
from amid.io.progress import Progress


@pytest.mark.parametrize(
    ("total", "of_bytes", "shown"),
    [
        (10, False, "3/10"),
        (None, False, "3"),
        (4_000_000, True, "1.5/4.0 MB"),
        (None, True, "1.5 MB"),
    ],
)
def test_how_far_it_is(total, of_bytes, shown) -> None:
    counted = Progress("clips", total, done=1, of_bytes=of_bytes)
    counted.advance(1_499_999 if of_bytes else 2)
    assert str(counted) == shown


def test_counts_are_no_bytes_unless_they_are_said_to_be() -> None:
    assert str(Progress("clips", 10)) == "0/10"


def test_elsewhere_a_line_is_printed_every_ten_seconds(monkeypatch, capsys) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[-1])
    lines: list[str] = []
    with Progress("clips", 9, plain=lines.append) as counted:
        for now in (109.0, 109.9, 110.1, 111.0, 120.0, 120.2):
            clock.append(now)
            counted.advance()
    assert lines == ["clips 3/9", "clips 6/9"]
    with Progress("clips", 9) as counted:
        clock.append(140.0)
        counted.advance()
        counted.say("a word")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("a word\n", "clips 1/9\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("of_bytes", "start", "end"), [(False, "3/10", "5/10"), (True, "3.00/10.0", "5.00/10.0")]
)
def test_on_a_terminal_there_is_a_bar(of_bytes, start, end, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "PLAIN_SECONDS", -1.0)
    plain: list[str] = []
    with Progress("clips", 10, done=3, of_bytes=of_bytes, plain=plain.append) as counted:
        counted.advance(2)
        counted._bar.refresh()
    assert counted._bar.disable  # closed
    assert plain == []
    first, *_, last = [line for line in sys.stderr.getvalue().split("\r") if "clips" in line]
    assert f" {start} [" in first
    assert f" {end} [" in last
    assert ("B/s" in last) == of_bytes


def test_a_line_is_said_beside_the_bar(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress("clips", 10) as counted:
        counted.say("a word")
    assert capsys.readouterr().out == "a word\n"
    assert "clips" in sys.stderr.getvalue()
