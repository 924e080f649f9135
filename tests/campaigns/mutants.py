"""Changes one operator, constant or statement of the code at a time; the tests of that module have
to fail:

    python -m tests.campaigns.mutants --count 200 --seed 0

Each mutant is written into a copy of the project and tested there by a forked process, so that
PyTorch is imported once. A mutant that runs longer than the limit counts as caught. The choice
depends on the seed and on each mutant's own line, so that a change elsewhere in a file replaces
few of them.
"""

import amid.core.reproducible  # noqa: F401  isort: skip  pins kernels before torch loads

import argparse
import ast
import hashlib
import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("amid", "stages", "tests", "docs", "dataset", "pipelines", "pyproject.toml")
COPIED += ("params.yaml",)


@dataclass(frozen=True)
class Target:
    """Code of one kind: its share of all mutants and the tests that have to notice.

    code: patterns below the root, a function of the file after `::`. tests: run in this order,
    {name} standing for the module's; those that do not exist are left out.
    """

    share: float
    code: tuple[str, ...]
    tests: tuple[str, ...]


TARGETS = {
    "losses": Target(
        0.3,
        ("amid/losses/*.py",),
        (
            "tests/losses/test_{name}.py",
            *("tests/losses/test_golden.py", "tests/losses/test_edge_cases.py"),
        ),
    ),
    "metrics": Target(0.15, ("amid/training/metrics.py",), ("tests/training/test_metrics.py",)),
    "retrieval": Target(
        0.1, ("amid/training/retrieval.py",), ("tests/training/test_retrieval.py",)
    ),
    "statistics": Target(
        0.15, ("amid/studies/statistics.py",), ("tests/studies/test_statistics.py",)
    ),
    "io": Target(
        0.3,
        ("amid/io/*.py",),
        ("tests/io/test_{name}.py",),
    ),
}

COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Add,),
    ast.Pow: (ast.Mult,),
    ast.MatMult: (),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
}


# Left out, as they change no value on a machine with a CPU and UTF-8: where tensors lie, encodings,
# checks of what is equal by construction, and how much is compared at once.
WITHOUT_EFFECT = {"device", "encoding", "flush", "strict", "dynamic_ncols"}
BLOCK_SIZES = {"COSINES_A_CHUNK", "QUERIES_A_BLOCK", "GALLERY_A_BLOCK"}


@dataclass(frozen=True)
class Mutant:
    """One change: a module, the line it is on, what changed into what, and the whole new text."""

    target: str
    path: str
    line: int
    where: str
    change: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.path}:{self.line} {self.change}"

    def tests(self, root: Path) -> list[str]:
        """The tests that have to notice it."""
        patterns = TARGETS[self.target].tests
        names = dict.fromkeys(pattern.format(name=Path(self.path).stem) for pattern in patterns)
        return [name for name in names if (root / name).exists()]


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST | None]]:
    """(the kind of change, what stands in the node's place; None: nothing), of one node."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for other in COMPARISONS[type(operator)]:
                ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                yield "comparison", ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.BinOp):
        for other in ARITHMETIC[type(node.op)]:
            yield "operator", ast.BinOp(node.left, other(), node.right)
    elif isinstance(node, ast.AugAssign):
        for other in ARITHMETIC[type(node.op)]:
            yield "operator", ast.AugAssign(node.target, other(), node.value)
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and/or", ast.BoolOp(other, node.values)
        for place in range(len(node.values)):
            rest = [*node.values[:place], *node.values[place + 1 :]]
            yield "one condition less", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield "sign", node.operand
    elif isinstance(node, ast.If | ast.While):
        yield "condition", type(node)(ast.Constant(False), node.body, node.orelse)
        if isinstance(node, ast.If):
            yield "condition", ast.If(ast.Constant(True), node.body, node.orelse)
    elif isinstance(node, ast.IfExp):
        yield "branch", node.body
        yield "branch", node.orelse
    elif isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool):
            yield "constant", ast.Constant(not value)
        elif isinstance(value, int | float):
            yield "constant", ast.Constant(value + 1)
            if value not in (0, 1):
                yield "constant", ast.Constant(value - 1)
        elif isinstance(value, str) and value.strip():
            yield "constant", ast.Constant(f"{value}X")
    elif isinstance(node, ast.Return) and node.value is not None:
        yield "return", ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Break | ast.Continue) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield "statement", ast.Pass()
    elif isinstance(node, ast.Call):
        for place, word in enumerate(node.keywords):
            if word.arg is not None and word.arg not in WITHOUT_EFFECT:
                rest = [*node.keywords[:place], *node.keywords[place + 1 :]]
                yield "one argument less", ast.Call(node.func, node.args, rest)


def _left_alone(parents: list[ast.AST], node: ast.AST) -> bool:
    """Docstrings, annotations, the words of messages, imports and types are not mutated."""
    if isinstance(node, ast.Constant) and isinstance(parents[-1], ast.Expr):
        return True
    for parent, child in zip(parents, [*parents[1:], node], strict=True):
        if isinstance(parent, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
            return True
        if isinstance(parent, ast.AnnAssign | ast.arg) and child is parent.annotation:
            return True
        if isinstance(parent, ast.FunctionDef) and child is parent.returns:
            return True
        if isinstance(parent, ast.keyword) and parent.arg in WITHOUT_EFFECT:
            return True
        if isinstance(parent, ast.Assign) and ast.unparse(parent.targets[0]) in BLOCK_SIZES:
            return True
        if isinstance(parent, ast.If) and ast.unparse(parent.test) == "TYPE_CHECKING":
            return True
        if isinstance(parent, ast.Assign) and isinstance(parent.value, ast.Subscript):
            name = ast.unparse(parent.targets[0])
            if len(parents) == 2 and name[0].isupper() and not name.isupper():
                return True  # an alias of a type
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def mutants_of(target: str, path: str, text: str, function: str = "") -> Iterator[Mutant]:
    """All mutants of a file, or of one of its functions."""
    tree = ast.parse(text)
    lines = text.splitlines()

    def walk(node: ast.AST, parents: list[ast.AST]) -> Iterator[Mutant]:
        for field, value in ast.iter_fields(node):
            children = value if isinstance(value, list) else [value]
            for place, child in enumerate(children):
                if not isinstance(child, ast.AST):
                    continue
                above = [*parents, node]
                names = [p.name for p in above if hasattr(p, "name") and not _is_handler(p)]
                where = ".".join(names)
                if hasattr(child, "lineno") and not _left_alone(above, child):
                    for kind, new in changes(child):
                        if function and function not in names:
                            continue
                        _put(node, field, place, value, new)
                        mutated = ast.unparse(ast.fix_missing_locations(tree))
                        _put(node, field, place, value, child)
                        old, other = _short(child), _short(new)
                        change = f"{kind}: {old} -> {other}"
                        line = lines[child.lineno - 1].strip()
                        assert line
                        yield Mutant(target, path, child.lineno, where, change, mutated)
                yield from walk(child, above)

    yield from walk(tree, [])


def _is_handler(node: ast.AST) -> bool:
    return isinstance(node, ast.ExceptHandler | ast.alias)


def _put(node: ast.AST, field: str, place: int, value: object, new: ast.AST | None) -> None:
    if isinstance(value, list):
        value[place] = new
    else:
        setattr(node, field, new)


def _short(node: ast.AST | None) -> str:
    text = ast.unparse(ast.fix_missing_locations(node)).splitlines()[0]
    return text if len(text) <= 60 else f"{text[:57]}..."


def chosen(root: Path, count: int, seed: int, only: str = "") -> list[Mutant]:
    """`count` mutants of the targets by their shares, or as many of the target `only`."""
    found: list[Mutant] = []
    for name, target in TARGETS.items():
        if only and name != only:
            continue
        share = count if only else round(count * target.share)
        every: list[tuple[str, Mutant]] = []
        for pattern in target.code:
            pattern, _, function = pattern.partition("::")
            for path in sorted(root.glob(pattern)):
                relative = path.relative_to(root).as_posix()
                text = path.read_text(encoding="utf-8")
                seen: Counter[tuple[str, str]] = Counter()
                for mutant in mutants_of(name, relative, text, function):
                    seen[mutant.where, mutant.change] += 1
                    key = (seed, relative, mutant.where, mutant.change)
                    key = (*key, seen[mutant.where, mutant.change])
                    every.append((hashlib.sha256(repr(key).encode()).hexdigest(), mutant))
        found += [mutant for _, mutant in sorted(every, key=lambda pair: pair[0])[:share]]
    return sorted(found, key=lambda mutant: (mutant.target, mutant.path, mutant.line))


def _copied(place: Path) -> Path:
    place.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            leave = shutil.ignore_patterns("__pycache__", "*.part", "node_modules")
            shutil.copytree(source, place / name, ignore=leave)
        else:
            shutil.copy2(source, place / name)
    return place


def _tested(place: Path, tests: list[str]) -> int:
    """pytest's exit code for tests of the copy, in this process."""
    import pytest

    os.chdir(place)
    os.environ |= {"PYTHONPATH": str(place)}
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(place / ".hypothesis")
    for name in [name for name in sys.modules if name.split(".")[0] in ("amid", "tests", "stages")]:
        del sys.modules[name]
    ours = {ROOT, *place.parent.iterdir()}
    sys.path[:] = [str(place), *(path for path in sys.path if Path(path).resolve() not in ours)]
    sys.path_importer_cache.clear()
    return int(pytest.main(["-x", "-q", "-m", "not slow", "--hypothesis-seed=0", *tests]))


@contextmanager
def _printing_to(log: Path) -> Iterator[None]:
    kept = [os.dup(1), os.dup(2)]
    with log.open("w") as file:
        sys.stdout.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            for number, descriptor in enumerate(kept, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)


def _ended(place: Path, tests: list[str], seconds: float, log: Path) -> str:
    """How the tests of a copy ended in a forked process: "caught", "survived" or "broken"."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        code = 70
        try:
            with _printing_to(log):
                code = _tested(place, tests)
        finally:
            os._exit(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        time.sleep(0.02)
    else:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "caught (time)"
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return "survived"
    if code == 1:
        return "caught"
    return f"caught (exit {code})" if code < 0 or code == 2 else f"broken (exit {code})"


def campaign(
    count: int, seed: int, *, only: str = "", seconds: float = 300.0, workers: int = 2
) -> list[tuple[Mutant, str]]:
    """Every mutant with how its tests ended; RuntimeError where they fail without a mutant."""
    mutants = chosen(ROOT, count, seed, only)
    times = itertools.count(1_600_000_000)  # Python compiles a file again when its time differs
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        copies = [_copied(Path(folder) / f"copy{n}") for n in range(workers)]
        for target in sorted({mutant.target for mutant in mutants}):
            log = Path(folder) / "whole.log"
            names = {name for m in mutants if m.target == target for name in m.tests(copies[0])}
            # What is imported here, and pytest's own plugins, no child imports again.
            with _printing_to(log):
                code = _tested(copies[0], sorted(names))
            if code:
                raise RuntimeError(f"{target} without a mutant:\n{log.read_text()[-2000:]}")
        os.chdir(home)

        def one(mutant: Mutant) -> tuple[Mutant, str]:
            place = copies.pop()
            file = place / mutant.path
            whole = file.read_bytes()
            try:
                file.write_text(mutant.text, encoding="utf-8")
                os.utime(file, (next(times),) * 2)
                ended = _ended(place, mutant.tests(place), seconds, Path(f"{place}.log"))
            finally:
                file.write_bytes(whole)
                os.utime(file, (next(times),) * 2)
                copies.append(place)
            print(f"{ended:14} {mutant.name}", flush=True)
            return mutant, ended

        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(one, mutants))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=TARGETS, default="", help="one kind of code")
    parser.add_argument("--workers", type=int, default=2)
    words = parser.parse_args()
    found = campaign(words.count, words.seed, only=words.only, workers=words.workers)
    print(f"\nseed {words.seed}\n| code | mutants | caught |\n|---|---|---|")
    for target in TARGETS:
        ends = [ended for mutant, ended in found if mutant.target == target]
        if ends:
            caught = sum(ended.startswith("caught") for ended in ends)
            print(f"| {target} | {len(ends)} | {caught} |")
    missed = [(mutant, ended) for mutant, ended in found if not ended.startswith("caught")]
    for mutant, ended in missed:
        print(f"{ended}: {mutant.name} (in {mutant.where or 'the module'})")
    print(f"{len(found) - len(missed)}/{len(found)} mutants caught")
    raise SystemExit(len(missed) > 0.05 * len(found))


if __name__ == "__main__":
    main()
