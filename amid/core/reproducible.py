"""Reproducible results: pinned kernels, derived seeds, code fingerprints.

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
    "amid.data.array_writers",
    "amid.data.extraction",
    "amid.data.feature_store",
    "amid.data.manifest",
    "amid.methods",
    "amid.networks",
    "amid.io.progress",
}


def derive_seed(*parts: object) -> int:
    """A seed below 2**63 from any printable parts, such as (seed, "student") or (seed, "epoch", 3).

    Streams of different parts are independent: one more network or epoch changes no other random
    number.
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def use_deterministic_kernels() -> None:
    """Sets this process's torch to one thread and to kernels with a fixed order of sums.

    Called at the start of a training run. An operation that has no deterministic kernel raises an
    error from then on.
    """
    import torch

    torch.set_num_threads(1)  # the number of threads changes results
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for sums on a GPU
    # The same as use_deterministic_algorithms(True), which imports the compiler: 3 s a worker.
    torch.set_deterministic_debug_mode("error")


@cache
def platform_fingerprint() -> str:
    """Name of all that may change results: torch, instruction set, processor, Python."""
    import torch

    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    capability = torch.backends.cpu.get_cpu_capability()
    parts = (f"torch{torch.__version__}", capability, _processor(), python)
    return "-".join(parts).lower().replace(" ", "")


def _processor() -> str:
    """Vendor, family and model, by which libraries choose kernels within an instruction set."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    names = ("vendor_id", "cpu family", "model")
    return ".".join(facts[name] for name in names if name in facts) or platform.machine()


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
