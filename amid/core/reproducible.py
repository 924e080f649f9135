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
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

# What every process of this project is set to, so that a result has the same bits on every x86-64
# processor with AVX2. What was measured of the costs is in docs/reproducibility.md. Products and
# square roots, which no setting makes portable at a bearable cost, are routed to numpy instead:
# amid.core.portable.
PINS = {
    # The number of threads changes the order of sums. One a run; stages train several runs at once.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Instruction sets: without a name each library takes the largest that the processor has.
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # torch's convolutions
    "OPENBLAS_CORETYPE": "Haswell",  # the products of numpy and SciPy, and of torch when routed
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # numpy's exp, log, pow and others
    # torch's exp, log, tanh and others are MKL's vector maths. Any other value than this one leaves
    # processors of AMD kernels of their own; products would be slow with it, but are routed.
    "MKL_CBWR": "COMPATIBLE",
}
os.environ.update(PINS)

# Lists of names, what only talks to people, and what makes features (whose bytes are part of a
# run's specification): changing them changes no training run.
WITHOUT_EFFECT = {
    "amid.augmentations",
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
    """Sets this process's torch to one thread and to kernels with a fixed order of sums, and has it
    compute products and square roots by numpy's.

    Called wherever torch is about to compute what is kept. An operation that has no deterministic
    kernel raises an error from then on.
    """
    import torch
    import torch.utils.deterministic

    from amid.core.portable import route_to_numpy

    torch.set_num_threads(1)  # the number of threads changes results
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for sums on a GPU
    # The same as use_deterministic_algorithms(True), which imports the compiler: 3 s a worker.
    torch.set_deterministic_debug_mode("error")
    # Else every new tensor is filled with NaN first, for up to 4 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False
    route_to_numpy()


@cache
def platform_fingerprint() -> str:
    """Name of all that may change the bits of what the CPU computes: torch, numpy, Python, and
    "portable" or, where bits are the processor's own, "native" with the processor.

    Python, as sum() of floats changed with 3.12. What trains on a GPU has that in its key.
    """
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    kernels = f"native-{_processor()}" if not_portable() else "portable"
    parts = (f"torch{version('torch')}", f"numpy{version('numpy')}", kernels, python)
    return "-".join(parts).lower().replace(" ", "")


def is_portable(platform: str) -> bool:
    """Whether a `platform_fingerprint` is one whose bits no processor changes."""
    return "portable" in platform.split("-")


@cache
def not_portable() -> str | None:
    """What keeps this machine from the bits that all others have; None where nothing does."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"this is {sys.platform} on {platform.machine()}, not Linux on x86-64"
    if missing := {"avx2", "fma"} - set(_cpu_facts().get("flags", "").split()):
        lacking = " and ".join(name.upper() for name in sorted(missing))
        return f"this processor does not have {lacking}"
    import numpy

    blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    if blas != "scipy-openblas":
        return f"numpy computes its products by {blas}, not by the OpenBLAS of its own wheels"
    return None


@cache
def say_if_not_portable() -> None:
    """One sentence on stderr, once a process, where results have the bits of this processor."""
    if why := not_portable():
        print(
            f"warning: {why}, so that results may differ in their last bits from other machines' "
            f"(docs/reproducibility.md); the runs are kept as {platform_fingerprint()}.",
            file=sys.stderr,
        )


def _processor() -> str:
    """Vendor, family and model, by which libraries choose kernels within an instruction set."""
    facts = _cpu_facts()
    names = ("vendor_id", "cpu family", "model")
    found = ".".join(facts[name] for name in names if name in facts)
    return found or platform.processor() or platform.machine()


def _cpu_facts() -> dict[str, str]:
    """What Linux tells of the first processor; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}


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
