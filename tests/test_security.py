"""What the source must not do, read from its syntax trees: run what data says, listen to others."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from amid.errors import AmidError
from amid.networks import cnn14
from amid.sources import weights
from tests.small import ROOT

FOLDERS = ("amid", "stages", "benchmarks", "tests")
# Weights that users bring as .pth are read without running what a pickle would run: torch alone
# knows the format, and `weights_only` refuses everything but tensors and plain containers.
READERS = {"amid/networks/cnn14.py", "amid/sources/weights.py"}
# These make pickles: to see them refused, to send an error to another process, to measure them.
MAKERS = {
    "benchmarks/store.py",
    "tests/extractors/test_cnn14.py",
    "tests/extractors/test_cnn14_published.py",
    "tests/extractors/test_densenet.py",
    "tests/extractors/test_features.py",
    "tests/extractors/test_transformers.py",
    "tests/media/test_video.py",
    "tests/test_security.py",
}
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
UNSAFE_YAML = {"load", "load_all", "unsafe_load", "unsafe_load_all", "full_load", "full_load_all"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
ELSEWHERE = "0.0.0" + ".0"  # every network interface


def faults(source: str, name: str = "") -> Iterator[tuple[int, str]]:
    """(line, what is wrong) of a Python source; name: of its file, which may be an exception."""
    for line, what in _faults(source, name):
        if what != "a pickle" or name not in MAKERS:
            yield line, what


def _faults(source: str, name: str) -> Iterator[tuple[int, str]]:
    tree = ast.parse(source)
    names = _imported(tree)
    uses = set(re.findall(r"\bpickle\.(\w+)", source))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            of_error = name in READERS and modules == ["pickle"] and uses == {"UnpicklingError"}
            if PICKLES & {module.partition(".")[0] for module in modules} and not of_error:
                yield node.lineno, "a pickle"
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, what) for what in _of_call(node, names, name))
        elif isinstance(node, ast.Constant) and node.value == ELSEWHERE:
            yield node.lineno, "listens to every network"


def _imported(tree: ast.AST) -> dict[str, str]:
    """Name in the source -> what it stands for: `np` -> numpy, `system` -> os.system."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.asname or a.name: a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return found


def _of_call(node: ast.Call, names: dict[str, str], file: str) -> Iterator[str]:
    called = ast.unparse(node.func)
    first, _, rest = called.partition(".")
    called = f"{names.get(first, first)}{rest and '.'}{rest}"
    last = called.rpartition(".")[2]
    given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
    if called == "torch.load" and not (given.get("weights_only") is True and file in READERS):
        yield "a pickle"
    if called == "torch.save":
        yield "a pickle"
    if called in ("numpy.load", "numpy.lib.format.read_array") and (
        given.get("allow_pickle") is not False
    ):
        yield "a pickle"
    if given.get("allow_pickle") is True or last in ("read_pickle", "to_pickle"):
        yield "a pickle"
    if called.startswith("yaml.") and first in names and last in UNSAFE_YAML:
        yield "yaml that makes objects"
    if called in ("eval", "exec", "builtins.eval", "builtins.exec"):
        yield "runs text"
    if called in SHELLS or ("shell" in {k.arg for k in node.keywords} and given.get("shell", 1)):
        yield "a shell"
    if last in ("extractall", "unpack_archive") or (
        called.startswith("tarfile") and last == "extract"
    ):
        yield "unpacks without a look"
    if re.search(r"(HTTP|TCP|UDP)Server$", called) and _host(node) not in ("127.0.0.1", None):
        yield "listens to every network"
    if last == "bind" and _host(node) not in ("127.0.0.1", None):
        yield "listens to every network"


def _host(node: ast.Call) -> object:
    """The host of an address (host, port) that a call is given; None where there is none."""
    address = node.args[0] if node.args else None
    if not (isinstance(address, ast.Tuple) and len(address.elts) == 2):
        return None
    return address.elts[0].value if isinstance(address.elts[0], ast.Constant) else "?"


PLANTED = {
    "import pickle": "a pickle",
    "import os, cPickle": "a pickle",
    "from dill import loads": "a pickle",
    "import joblib.numpy_pickle": "a pickle",
    "def f():\n    import shelve": "a pickle",
    "from marshal import loads": "a pickle",
    "import cloudpickle as c": "a pickle",
    "import torch\ntorch.load('x')": "a pickle",
    "import torch\ntorch.load('x', weights_only=True)": "a pickle",  # not in a reader
    "from torch import load\nload('x', weights_only=False)": "a pickle",
    "import torch as t\nt.save({}, 'x')": "a pickle",
    "import numpy as np\nnp.load('x')": "a pickle",
    "import numpy\nnumpy.load('x', allow_pickle=True)": "a pickle",
    "from numpy import load as l\nl('x', mmap_mode='r')": "a pickle",
    "import pandas as pd\npd.read_pickle('x')": "a pickle",
    "frame.to_pickle('x')": "a pickle",
    "import yaml\nyaml.load(text)": "yaml that makes objects",
    "import yaml\nyaml.unsafe_load(text)": "yaml that makes objects",
    "eval('1')": "runs text",
    "exec('1')": "runs text",
    "import os\nos.system('ls')": "a shell",
    "from os import popen\npopen('ls')": "a shell",
    "import subprocess\nsubprocess.run('ls', shell=True)": "a shell",
    "from subprocess import Popen as P\nP('ls', shell=wanted)": "a shell",
    "import subprocess as s\ns.getoutput('ls')": "a shell",
    "import tarfile\ntarfile.open('x').extractall()": "unpacks without a look",
    "file.extractall(path, filter='data')": "unpacks without a look",
    "import shutil\nshutil.unpack_archive('x')": "unpacks without a look",
    f"run(host='{ELSEWHERE}')": "listens to every network",
    "from http.server import HTTPServer\nHTTPServer(('', 80), H)": "listens to every network",
    "socket.bind((host, 0))": "listens to every network",
}
HARMLESS = [
    "network.eval()",
    "import numpy as np\nnp.load('x', allow_pickle=False, mmap_mode='r')",
    "import subprocess\nsubprocess.run(['ls'], check=True)\nsubprocess.run('ls', shell=False)",
    "from ruamel.yaml import YAML\nYAML(typ='safe').load(text)",
    "import json\njson.load(file)",
    "socket.bind(('127.0.0.1', 0))",
    "text = 'import pickle; eval(x)'  # os.system",
]


@pytest.mark.parametrize("source", PLANTED)
def test_every_rule_bites(source: str) -> None:
    assert PLANTED[source] in {what for _, what in faults(source)}


@pytest.mark.parametrize("source", HARMLESS)
def test_no_rule_bites_what_is_harmless(source: str) -> None:
    assert list(faults(source)) == []


def sources(root: Path) -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py"))


def found_in(root: Path) -> list[str]:
    return [
        f"{path.relative_to(root).as_posix()}:{line}: {what}"
        for path in sources(root)
        for line, what in faults(
            path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
        )
    ]


@pytest.mark.slow
def test_the_source_runs_nothing_that_data_says() -> None:
    assert len(sources(ROOT)) > 150
    assert found_in(ROOT) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_planted_file_is_found(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder / "deep").mkdir(parents=True)
    (tmp_path / folder / "deep" / "new.py").write_text("import os\n\nimport pickle\n")
    assert found_in(tmp_path) == [f"{folder}/deep/new.py:3: a pickle"]


# ---------------------------------------------------------------- weights that users bring


class Evil:
    """A pickle of it makes a file when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("reader", ["cnn14", "weights"])
def test_a_pth_with_a_pickle_in_it_is_refused_and_not_run(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"model": Evil(tmp_path / "pwned")}, path)
    read = (lambda: cnn14.load(path, 512)) if reader == "cnn14" else lambda: weights.read(path)
    with pytest.raises(AmidError, match=r"weights\.pth") as caught:
        read()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()
    torch.load(path, weights_only=False)  # it does bite
    assert (tmp_path / "pwned").exists()


def test_the_readers_read_tensors_only() -> None:
    for name in READERS:
        source = (ROOT / name).read_text(encoding="utf-8")
        assert source.count("torch.load(") == source.count("weights_only=True") == 1, name
        assert not list(faults(source, name))
        careless = source.replace("weights_only=True", "weights_only=False")
        assert [what for _, what in faults(careless, name)] == ["a pickle"]
        more = f"{source}\nimport pickle\npickle.loads(b'')\n"
        assert {what for _, what in faults(more, name)} == {"a pickle"}


def test_the_exceptions_are_needed() -> None:
    for name in READERS | MAKERS:
        source = (ROOT / name).read_text(encoding="utf-8")
        assert "a pickle" in {what for _, what in _faults(source, "")}, name


# ---------------------------------------------------------------- servers and documents

DOCUMENTS = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("pipelines/**/dvc.yaml"),
    *ROOT.glob(".github/**/*.yml"),
    *ROOT.glob("*.yaml"),
    ROOT / "Makefile",
    ROOT / ".ci" / "run",
]
SERVER = re.compile(r"mlflow (?:ui|server|models serve)|http\.server|gunicorn |uvicorn ")
HOST = re.compile(r"(?:--host|--bind|-h)[ =](\S+)")


def open_servers(text: str) -> list[str]:
    """Commands that start a server for others than this machine. MLflow's are for it by default,
    Python's http.server is not."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        if SERVER.search(line):
            hosts = HOST.findall(line)
            closed = all(host.strip("`") in ("127.0.0.1", "localhost") for host in hosts)
            if not closed or ("http.server" in line and not hosts) or ELSEWHERE in line:
                found.append(line.strip())
        elif ELSEWHERE in line:
            found.append(line.strip())
    return found


def test_servers_of_the_documents_are_for_this_machine() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in DOCUMENTS}
    assert {name: found for name, text in texts.items() if (found := open_servers(text))} == {}
    assert sum(len(SERVER.findall(text)) for text in texts.values()) >= 3
    assert "mlflow ui --host 127.0.0.1" in texts["Makefile"]


@pytest.mark.parametrize(
    "line",
    [
        f"mlflow ui --host {ELSEWHERE}",
        "mlflow server \\\n  --host 192.168.0.2 --port 1",
        "$ python -m http.server 8000",
        "mlflow models serve -m x -h example.org",
        f"see {ELSEWHERE}:5000",
    ],
)
def test_an_open_server_is_found(line: str) -> None:
    assert open_servers(f"Text.\n{line}\n") != []


def test_python_in_the_documents_keeps_the_rules() -> None:
    blocks = 0
    for path in DOCUMENTS:
        for block in re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.S):
            try:
                found = list(faults(textwrap.dedent(block), path.name))
            except SyntaxError:  # of a listing with an ellipsis, say
                continue
            blocks += 1
            assert found == [], (path.name, block)
    assert blocks > 3


def test_no_stage_writes_the_mirror_into_a_lock() -> None:
    """Its address may hold a password; a lock holds the parameters that a stage lists."""
    for path in [ROOT / "dvc.yaml", *ROOT.glob("pipelines/**/dvc.yaml")]:
        assert not re.search(r"^\s*- mirror\b", path.read_text(), re.MULTILINE), path
