"""What makes results depend on the input alone: pinned kernels, derived seeds, code fingerprints.

Import this module before torch, numpy or OpenCV: the instruction set is read once, at their import.
"""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# One thread and AVX2 kernels everywhere: the same bits on any x86-64 machine of the last decade.
PINS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
os.environ.update(PINS)

# Lists of names, what only talks to people, and what makes features (whose bytes are part of a
# run's specification): changing them changes no training run.
WITHOUT_EFFECT = {
    "amid.datasets",
    "amid.errors",
    "amid.extractors",
    "amid.features",
    "amid.methods",
    "amid.progress",
}


def derive_seed(*parts: object) -> int:
    """A seed below 2**63 from any printable parts: (seed, "student") and (seed, "epoch", 3) do not
    touch one another, so that adding a network or an epoch shifts no other random number."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@cache
def platform_fingerprint() -> str:
    """Names what may change bits: torch, the kernels' instruction set, the processor, Python."""
    import torch

    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    capability = torch.backends.cpu.get_cpu_capability()
    parts = (f"torch{torch.__version__}", capability, _processor(), python)
    return "-".join(parts).lower().replace(" ", "")


def _processor() -> str:
    """Vendor, family, model: libraries choose kernels by them even within an instruction set."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    names = ("vendor_id", "cpu family", "model")
    return ".".join(facts[name] for name in names if name in facts) or platform.machine()


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code_fingerprint(*modules: str) -> str:
    """sha256 over the code of `modules` and of all `amid` modules they import, however deep.

    Comments, docstrings and layout do not count, nor do modules without effect on a result.
    Modules loaded by name (a method, a data set) count only when named here: a new method does not
    make the old runs stale.
    """
    trees: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in trees or name in WITHOUT_EFFECT:
            continue
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            continue
        tree = _without_docstrings(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
        trees[name] = ast.dump(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names if alias.name.startswith("amid.")]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("amid"):
                waiting.append(node.module)
                waiting += (
                    [
                        f"{node.module}.{alias.name}"
                        for alias in node.names
                        if find_spec(f"{node.module}.{alias.name}") is not None
                    ]
                    if find_spec(node.module).submodule_search_locations is not None
                    else []
                )
    return hashlib.sha256(repr(sorted(trees.items())).encode()).hexdigest()[:20]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return tree
