"""The platform's name, what keeps a machine from being portable, and the pins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from amid.core import reproducible
from amid.core.reproducible import PINS, is_portable, not_portable, platform_fingerprint
from tests.small import ROOT

CPU = """processor : 0
vendor_id : GenuineIntel
cpu family : 6
model : 85
flags : fpu sse2 {flags}

processor : 1
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch):
    cached = (platform_fingerprint, not_portable, reproducible.say_if_not_portable)
    for function in cached:
        function.cache_clear()
    yield
    monkeypatch.undo()
    for function in cached:
        function.cache_clear()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Has this be a machine with other facts."""

    def put(flags: str = "avx2 fma", architecture: str = "x86_64", system: str = "linux") -> None:
        read = Path.read_text
        text = CPU.format(flags=flags)
        monkeypatch.setattr(
            Path,
            "read_text",
            lambda p, *a, **o: text if str(p) == "/proc/cpuinfo" else read(p, *a, **o),
        )
        monkeypatch.setattr(reproducible.platform, "machine", lambda: architecture)
        monkeypatch.setattr(reproducible.sys, "platform", system)

    return put


def test_where_bits_are_portable_the_name_holds_no_processor(machine) -> None:
    machine()
    name = platform_fingerprint()
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert name.endswith(f"-numpy{numpy.__version__}-portable-{python}")
    assert name.startswith("torch")
    assert "intel" not in name
    assert is_portable(name)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"flags": "avx fma"}, "does not have AVX2"),
        ({"flags": "avx sse4_2"}, "does not have AVX2 and FMA"),
        ({"architecture": "aarch64"}, "linux on aarch64"),
        ({"system": "darwin"}, "darwin on x86_64"),
    ],
)
def test_elsewhere_it_does_and_that_is_said_once(machine, capsys, facts: dict, why: str) -> None:
    machine(**facts)
    name = platform_fingerprint()
    assert "-native-genuineintel.6.85-" in name
    assert not is_portable(name)
    reproducible.say_if_not_portable()
    reproducible.say_if_not_portable()
    told = capsys.readouterr().err
    assert why in told
    assert name in told
    assert told.count("\n") == 1


def test_a_numpy_with_other_products_is_native(machine, monkeypatch) -> None:
    machine()
    blas = {"Build Dependencies": {"blas": {"name": "mkl-dynamic"}}}
    monkeypatch.setattr(numpy, "show_config", lambda mode: blas)
    assert "mkl-dynamic" in not_portable()
    assert not is_portable(platform_fingerprint())


def test_nothing_is_said_where_bits_are_portable(machine, capsys) -> None:
    machine()
    reproducible.say_if_not_portable()
    assert capsys.readouterr().err == ""


def test_the_old_names_are_not_portable() -> None:
    assert not is_portable("torch2.13.0+cpu-avx2-authenticamd.25.1-python3.11")


def python(code: str) -> str:
    """What a fresh process prints that was given no settings; every warning is an error."""
    outside = {name: value for name, value in os.environ.items() if name not in PINS}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=outside, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_name_is_told_without_torch() -> None:
    code = "import sys; from amid.core import reproducible as r; n = r.platform_fingerprint()"
    assert python(f"{code}; print(n, 'torch' in sys.modules)").split() == [
        platform_fingerprint(), "False"
    ]  # fmt: skip


CAPPED = """
import amid.core.reproducible
import numpy, pandas, scipy.stats
import numpy._core._multiarray_umath as built
print(*(f for f in built.__cpu_dispatch__ if built.__cpu_features__[f]))
print(*built.__cpu_dispatch__)
"""


def test_numpy_is_capped_at_avx2_without_a_word() -> None:
    used, known = python(CAPPED).splitlines()
    assert set(used.split()) <= {"X86_V3"}
    if not_portable() is None:  # a new numpy may have new names for what lies above
        above = set(known.split()) - {"X86_V3"}
        assert above == set(PINS["NPY_DISABLE_CPU_FEATURES"].split())
