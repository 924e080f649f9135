"""The sums of `check_repro --bits`: as committed, on this processor and on emulated ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from amid.core.reproducible import not_portable, platform_fingerprint
from amid.errors import AmidError, ConfigError
from amid.maintenance import bits
from amid.methods import METHODS, PAIR_METHODS
from amid.networks import ENCODERS
from stages import check_repro
from tests.small import ROOT

PROCESSORS = ("Haswell", "Skylake-Server", "EPYC")


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def golden() -> dict[str, str]:
    """The committed sums, where this machine has to have them."""
    if why := not_portable():
        pytest.skip(f"bits are this processor's own: {why}")
    content, here = bits.read_golden(), platform_fingerprint()
    if content["platform"] != here:
        pytest.skip(f"the committed sums are of {content['platform']}, this is {here}")
    return content["sums"]


def test_this_processor_gives_the_committed_bits() -> None:
    wanted = golden()
    found = dict(bits.measure())
    assert {name: found[name] for name in wanted if found.get(name) != wanted[name]} == {}
    assert found.keys() == wanted.keys()


@pytest.mark.slow(seconds=150)
@pytest.mark.parametrize("processor", PROCESSORS)
def test_another_processor_gives_the_committed_bits(processor: str) -> None:
    """Emulated, by the command: all sums of a process of its own."""
    wanted = golden()
    printed = emulated(processor, "-m", "stages.check_repro", "--bits")
    lines = [line.split("  ", 1) for line in printed.splitlines()]
    found = {line[1]: line[0] for line in lines if len(line) == 2 and len(line[0]) == 64}
    assert {name: found[name] for name in wanted if found.get(name) != wanted[name]} == {}
    assert found.keys() == wanted.keys()


def emulated(processor: str, *words: str) -> str:
    """What this Python prints on an emulated processor."""
    if shutil.which("qemu-x86_64") is None:
        pytest.skip("qemu-x86_64 is not installed (Debian's package qemu-user)")
    command = ["qemu-x86_64", "-cpu", processor, str(Path(sys.executable).resolve()), *words]
    path = os.pathsep.join((sysconfig.get_path("purelib"), str(ROOT)))
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_method_and_encoder_is_among_the_runs() -> None:
    runs = bits.runs().values()
    assert {run.method for run in runs} == set(METHODS)
    assert {run.network["encoder"] for run in runs} == set(ENCODERS)
    assert len({run.key for run in runs}) == len(runs)
    pairs = bits.pair_runs().values()
    assert {run.method for run in pairs} == set(PAIR_METHODS)
    assert len({run.key for run in pairs}) == len(pairs)


MADE_UP = {"one": "1" * 64, "two": "2" * 64, bits.ALL: "3" * 64}


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bits, "measure", lambda: iter(MADE_UP.items()))
    monkeypatch.setattr(bits, "GOLDEN", tmp_path / "bits.json")


def test_the_command_prints_compares_and_writes(made_up, capsys, monkeypatch) -> None:
    with pytest.raises(AmidError, match=r"bits\.json is missing"):
        check_repro.main("--bits")
    check_repro.main("--bits", "--write")
    assert bits.read_golden() == {"platform": platform_fingerprint(), "sums": MADE_UP}
    capsys.readouterr()
    check_repro.main("--bits")
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == [f"{value}  {name}" for name, value in MADE_UP.items()]
    assert out[3].startswith("the same bits as ")
    bits.write_golden({**MADE_UP, "two": "4" * 64, "three": "5" * 64})
    monkeypatch.setattr(check_repro, "platform_fingerprint", lambda: "torch9-portable")
    with pytest.raises(SystemExit) as caught:
        check_repro.main("--bits")
    assert caught.value.code == 1
    out = capsys.readouterr().out.splitlines()
    assert out[3:5] == ["differs: three", "differs: two"]
    assert out[5].endswith("this is torch9-portable")
    monkeypatch.setattr(check_repro, "not_portable", lambda: "this is a toaster")
    with pytest.raises(SystemExit):
        check_repro.main("--bits")
    assert capsys.readouterr().out.endswith("bits are this processor's own: this is a toaster\n")


@pytest.mark.parametrize("words", [("--write",), ("--bit",), ("--bits", "--wrote")])
def test_other_words_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="--bits --write"):
        check_repro.main(*words)
