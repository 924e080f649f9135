"""Repair what killed processes leave in a repository, so that `dvc repro` can resume.

`kill -9` of dvc, a stage or a worker may leave: a half-written `.dvc/tmp/rwlock` or dvc.lock, with
which every dvc command fails; entries of dead processes in the rwlock; stages that outlive their
dvc; `.part` files that were never completed; MLflow runs that stay RUNNING.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from amid.tracking.dead_runs import close_left_running

GRACE_SECONDS = 10.0  # in which an orphaned stage may save its checkpoint
# Folders of files that are written whole or not at all; below them DVC removes outs before a stage.
WRITTEN = ("data", "dataset", "mlruns", "pipelines", "reports")
PART = re.compile(r"\..+\.(\d+)\.part")  # of write_atomic; those of downloads are resumed
# Of the entries of a dvc.lock's files.
TYPES = {"path": str, "hash": str, "size": int, "nfiles": int, "isexec": bool}


def repair(root: Path) -> Iterator[str]:
    """Repair the repository at `root`; yields one line per repair. While a dvc works there nothing
    is touched; no dvc can start before the repair is done."""
    with _held(root / ".dvc" / "tmp" / "lock") as free:
        at_work = dvc_at_work(root) if free else "another process"
        if at_work is not None:
            yield f"nothing repaired: {at_work} is at work here; run this again when it has ended"
            return
        yield from _end_orphans(root)
        yield from _drop_rwlock(root / ".dvc" / "tmp" / "rwlock", root)
        for path in (root / "dvc.lock", *sorted(root.glob("pipelines/**/dvc.lock"))):
            yield from _drop_torn_lock(path, root)
        for path in _parts(root):
            yield from _drop_part(path, root)
    if count := close_left_running(root):
        yield f"closed {count} MLflow runs as KILLED: their processes are gone"


def dvc_at_work(root: Path) -> str | None:
    """A running dvc that works below `root`, as text; None if there is none.

    dvc holds its lock only between stages; while one runs, it has its entries in the rwlock.
    """
    try:
        rwlock = root / ".dvc" / "tmp" / "rwlock"
        written, holders = rwlock.stat().st_mtime, holders_of(rwlock.read_text())
    except (OSError, ValueError):
        written, holders = 0.0, set()
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            # A process younger than the rwlock has only reused the pid of a dead one.
            named = process.pid in holders and process.create_time() <= written
            if named or (_is_dvc(process) and Path(process.cwd()).is_relative_to(root)):
                return f"dvc (process {process.pid})"
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or another user's
    return None


def holders_of(text: str) -> set[int]:
    """The pids in the text of a rwlock. Raises ValueError if dvc could not read it."""
    try:
        lock = json.loads(text)
        written = list(lock.get("write", {}).values())
        several = list(lock.get("read", {}).values())
        entries = written + [entry for readers in several for entry in readers]
        typed = all(isinstance(e["cmd"], str) and type(e["pid"]) is int for e in entries)
        if not typed or not all(isinstance(readers, list) for readers in several):
            raise ValueError("an entry of the wrong type")
        return {entry["pid"] for entry in entries}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from None


def is_whole(text: str) -> bool:
    """Whether dvc can read a dvc.lock with this text."""
    from ruamel.yaml import YAML, YAMLError

    try:
        lock = YAML(typ="safe").load(text)
    except (YAMLError, ValueError):
        return False
    if not isinstance(lock, dict) or lock.get("schema") != "2.0":
        return False
    stages = lock.get("stages", {})
    return isinstance(stages, dict) and all(map(_is_stage, stages.values()))


def _is_stage(stage: Any) -> bool:
    if not isinstance(stage, dict) or not isinstance(stage.get("cmd"), str | list):
        return False
    params, files = stage.get("params", {}), [stage.get(part, []) for part in ("deps", "outs")]
    if not isinstance(params, dict) or not all(isinstance(p, dict) for p in params.values()):
        return False
    if not all(isinstance(several, list) for several in files):
        return False
    return all(
        isinstance(file, dict)
        and "path" in file
        and len(str(file.get("md5") or "000")) >= 3
        and all(isinstance(file[name], TYPES[name]) for name in file.keys() & TYPES.keys())
        for several in files
        for file in several
    )


@contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Hold dvc's own lock as dvc does (flock, by zc.lockfile); False if another process has it."""
    if not path.parent.is_dir():  # no dvc has ever been here
        yield True
        return
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _is_dvc(process: psutil.Process) -> bool:
    names = [Path(word).name for word in process.cmdline()[:4]]
    return bool(names) and (
        names[0] == "dvc" or (names[0].startswith("python") and "dvc" in names[1:])
    )


def _end_orphans(root: Path) -> Iterator[str]:
    """End stages and workers that a dvc of this repository started and that outlived it."""
    found = []
    own = {process.pid for process in (psutil.Process(), *psutil.Process().parents())}
    for process in psutil.process_iter():
        try:
            if process.pid in own or process.status() == psutil.STATUS_ZOMBIE:
                continue
            environment = process.environ()
            stage = environment.get("DVC_STAGE")
            ours = stage is not None and Path(environment.get("DVC_ROOT", "")) == root
            if ours and not any(map(_is_dvc, process.parents())):
                found.append((process, stage.rpartition(":")[2]))
        except (psutil.Error, OSError):
            continue
    for process, _ in found:
        _send(process, "terminate")
    _, stubborn = psutil.wait_procs([process for process, _ in found], timeout=GRACE_SECONDS)
    for process in stubborn:
        _send(process, "kill")
    psutil.wait_procs(stubborn, timeout=GRACE_SECONDS)
    for process, stage in found:
        yield f"ended process {process.pid} of {stage}, whose dvc is dead"


def _send(process: psutil.Process, verb: str) -> None:
    with suppress(psutil.Error):  # it may just have ended
        getattr(process, verb)()


def _drop_rwlock(path: Path, root: Path) -> Iterator[str]:
    try:
        holders = holders_of(path.read_text())
        why = "it names dead processes only" if holders else None
    except FileNotFoundError:
        return
    except ValueError:  # UnicodeDecodeError is one
        why = "it does not parse"
    if why is not None:
        path.unlink()
        yield f"dropped {path.relative_to(root)}: {why}"


def _drop_torn_lock(path: Path, root: Path) -> Iterator[str]:
    try:
        whole = is_whole(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except ValueError:
        whole = False
    if not whole:
        path.unlink()
        yield (
            f"dropped {path.relative_to(root)}: it does not parse; its stages run again, with "
            "trained runs from the run store"
        )


def _parts(root: Path) -> list[Path]:
    """What may be half written: in the run store, and beside what stages and users have made."""
    found = [*root.glob(".*.part"), *(root / ".runs").rglob(".*.part")]
    for name in WRITTEN:
        for pattern in (".*.part", "*/.*.part", "*/*/.*.part"):
            found += (root / name).glob(pattern)
    return sorted(found)


def _drop_part(path: Path, root: Path) -> Iterator[str]:
    named = PART.fullmatch(path.name)
    if named and not psutil.pid_exists(int(named[1])):
        path.unlink(missing_ok=True)
        yield f"dropped {path.relative_to(root)}: half written"
