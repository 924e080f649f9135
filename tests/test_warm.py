"""A stage that is forked from a process with its imports made is as one that is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

STAGE = """
import atexit, os, signal, sys
from amid import mine
print(sys.argv[1:], os.path.basename(sys.argv[0]), os.getcwd(), os.environ.get("GIVEN"), mine)
print(__name__, sys.stdin.read())
atexit.register(print, "at exit")
how = sys.argv[1]
if how == "sentence":
    sys.exit("a sentence")
if how == "code":
    sys.exit(3)
if how == "error":
    raise ValueError("an error")
if how == "signal":
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def ended(program: Path | str, place: Path, how: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [program, "-m", "stages.said", how],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(place / "below"), "GIVEN": "value"},
        input="typed",
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr.strip().rpartition("\n")[2]


@pytest.mark.slow
def test_it_ends_as_a_process_of_its_own(warm: Path, tmp_path: Path) -> None:
    for folder, name, text in (("stages", "said", STAGE), ("below/amid", "mine", "")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "__init__.py").write_text("")
        (tmp_path / folder / f"{name}.py").write_text(text)
    codes = {"well": 0, "sentence": 1, "code": 3, "error": 1, "signal": 137}
    for how, code in codes.items():
        found = ended(warm / "python", tmp_path, how)
        alone = ended(sys.executable, tmp_path, how)
        assert found[0] == code
        assert alone[0] == (code if code < 128 else 128 - code)  # a shell tells of a signal so
        assert found[1:] == alone[1:]
        assert str(tmp_path / "below" / "amid" / "mine.py") in found[1]
