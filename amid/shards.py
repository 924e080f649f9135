"""Extraction in shards, which any executor, host or pod can decode; the bytes are those of one.

A shard is some files that have the same modalities, with their spans. Its name is a hash of all
that decides on its result: extractors, options, limits, code, libraries, and of every file the
content, the last part of the path (an extension counts) and the spans. So a shard that is done
twice, here and there at once, gives the same bytes, and a store (`amid.remote.Remote`) has it whole
or not at all:

    outcomes.json   [one a modality: {"extractor", "options", "outcomes": one a file: its duration
                    in seconds or null, the notes of its reading, and for each span its number of
                    rows or [reason, detail]}]
    values_0.npy    of the first modality what could be decoded, one after another: (rows, *shape);
                    and so on

Who names a shard reads its files (sha256). Whoever decodes it does so again: a node that sees other
files, or runs other code, says so and decodes nothing.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from amid.decoding import Outcome, Part, Task, decoded
from amid.errors import AmidError, ConfigError, Stopped
from amid.executors import WorkerLost, told_to_stop
from amid.executors.local import Local, available_cores
from amid.extractors import EXTRACTORS, load
from amid.extractors.weights import home
from amid.media import MediaError, Reason
from amid.media.guard import LIMITS, Limits
from amid.reproducible import code_fingerprint, sha256_file
from amid.shown import masked
from amid.sums import sha256_bytes

if TYPE_CHECKING:
    from amid.executors import Executor
    from amid.features import Decoder
    from amid.remote import Remote

FILES = 64  # of a shard, where nobody says otherwise: some seconds to minutes of a core
OUTCOMES = "outcomes.json"
# Decoders and the arithmetic behind the extractors; other versions may give other bytes.
LIBRARIES = ("av", "numpy", "opencv-python-headless", "scipy")
OPTIONAL = ("torch", "torchvision", "transformers")
WEIGHTS = ("weights", "model")  # options that may name files beside those of the data
REQUESTS = 16  # of a store that is elsewhere, at once


@dataclass(frozen=True)
class Settings:
    """What the environment says. store: AMID_STORE, None where there is none; workers: processes of
    this machine, AMID_WORKERS or one a core; files: of a shard, AMID_SHARD_FILES, the same for all
    who work on one extraction."""

    store: str | None
    workers: int
    files: int

    @classmethod
    def of(cls, environment: Mapping[str, str], workers: int) -> Self:
        """workers: what params.yaml says, 0 for nothing. ConfigError for what is no number."""
        store = environment.get("AMID_STORE") or None
        if store is not None and "://" not in store:  # workers elsewhere have another folder
            store = str(Path(store).expanduser().absolute())
        return cls(
            store,
            number(environment, "AMID_WORKERS", workers or available_cores()),
            number(environment, "AMID_SHARD_FILES", FILES),
        )


def number(environment: Mapping[str, str], variable: str, default: int, least: int = 1) -> int:
    """A whole number of the environment's; ConfigError for another text or one below `least`."""
    text = environment.get(variable) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"{variable} is {text!r}: set it to a whole number from {least} on.")
    return int(text)


@dataclass(frozen=True)
class Shard:
    """Tasks of the same modalities, and the name of their result."""

    name: str
    tasks: tuple[Task, ...]

    @property
    def place(self) -> str:
        """Its name in a store that holds other things too."""
        return f"shards/{self.name}"


@dataclass(frozen=True)
class Job:
    """What a worker somewhere needs; `home` is the project's folder, for weights beside it."""

    shard: Shard
    store: str = field(repr=False)  # it may hold a password
    home: Path
    limits: Limits


def cut(tasks: Sequence[Task], files: int = FILES) -> list[tuple[Task, ...]]:
    """The tasks, `files` at a time; those of the same modalities stay together, in their order."""
    found: dict[tuple[str, ...], list[Task]] = {}
    for task in tasks:
        found.setdefault(task.modalities, []).append(task)
    return [
        tuple(group[start : start + files])
        for group in found.values()
        for start in range(0, len(group), files)
    ]


def share(groups: Sequence[tuple[Task, ...]], index: int, of: int) -> list[tuple[Task, ...]]:
    """Every `of`-th group from number `index` on. Raises AmidError for an index outside 0..of-1."""
    if not 0 <= index < of:
        raise AmidError(
            f"The share {index} of {of} does not exist: count from 0 to {max(of - 1, 0)}."
        )
    return list(groups[index::of])


def named(groups: Iterable[tuple[Task, ...]], limits: Limits, workers: int) -> list[Shard]:
    """The groups with their names. Reads all their files, `workers` at a time."""
    content = cache(_content)  # a film with sound is a file of two modalities
    with ThreadPoolExecutor(max(workers, 1)) as pool:  # hashing needs no interpreter
        return list(pool.map(partial(_named, limits=limits, content=content), groups))


def make(shards: Sequence[Shard], store: Remote, *, workers: int, limits: Limits) -> Iterator[str]:
    """Decodes the shards into the store; the names, in order, as each is there whole. Stopped,
    between two files, when the worker that does it is told to stop: a shard has no state."""
    found = decoded([t for shard in shards for t in shard.tasks], workers=workers, limits=limits)
    for shard in shards:
        outcomes = []
        for _, those in islice(found, len(shard.tasks)):
            if told_to_stop():
                raise Stopped
            outcomes.append(those)
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), shard, outcomes)
            store.push(Path(folder), shard.place)
        yield shard.name


def work(job: Job) -> None:
    """Decodes one shard, in a worker of an executor. AmidError where this node cannot; Stopped when
    it is told to."""
    from amid.remote import Remote

    if told_to_stop():
        raise Stopped
    os.environ.setdefault("DVC_ROOT", str(job.home))
    if _named(job.shard.tasks, job.limits, _content).name != job.shard.name:
        first = job.shard.tasks[0].path
        raise AmidError(
            f"A worker on {platform.node()} has not the same files as the stage ({first} and "
            "those after it), or other code or libraries: give all nodes the same version, and "
            "the raw files under the same path, on a folder that they share."
        )
    list(make([job.shard], Remote(job.store), workers=1, limits=job.limits))


def decoder(settings: Settings, executor: Executor, spare: Path) -> Decoder | None:
    """How `extract_features` decodes; None, its own way, where nobody else takes part.

    spare: where shards lie until they are assembled, if there is no AMID_STORE; workers on
    other machines have to see that folder, as they do the raw files.
    """
    if settings.store is None and isinstance(executor, Local):
        return None
    from amid.remote import Remote

    return sharded(Remote(settings.store or str(spare.absolute())), executor, settings)


def sharded(
    store: Remote, executor: Executor, settings: Settings, limits: Limits = LIMITS
) -> Decoder:
    """A decoder of shards: those that the store has are read, the others are made.

    With the local executor guarded children of this process make them, which all the shards share.
    Raises AmidError for a worker that is lost for good; what is in the store by then is kept.
    """

    def decode(tasks: Sequence[Task]) -> Iterator[tuple[Task, list[Outcome]]]:
        absolute = [task._replace(path=task.path.absolute()) for task in tasks]
        shards = named(cut(absolute, settings.files), limits, settings.workers)
        with ThreadPoolExecutor(REQUESTS) as pool:
            there = list(pool.map(store.exists, (shard.place for shard in shards)))
        # two modalities may ask for the same shard
        waiting = {s.name: s for s, known in zip(shards, there, strict=True) if not known}
        todo = list(waiting.values())
        if isinstance(executor, Local):
            made = make(todo, store, workers=settings.workers, limits=limits)
        else:
            jobs = [Job(shard, store.url, home().absolute(), limits) for shard in todo]
            made = _elsewhere(jobs, store, executor, settings.workers if executor.here else 0)
        for shard in shards:
            if waiting.pop(shard.name, None) is not None:
                next(made)
            yield from zip(shard.tasks, _read(shard, store, limits), strict=True)

    return decode


def _elsewhere(
    jobs: Sequence[Job], store: Remote, executor: Executor, workers: int
) -> Iterator[str]:
    """Names of the jobs' shards, in order, as each is in the store."""
    if not jobs:
        return
    with executor.pool(workers, jobs=len(jobs)) as pool:
        futures = [pool.submit(work, job) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            try:
                future.result()
            except WorkerLost:
                raise AmidError(
                    "A worker that decodes files was lost more often than it is tried again; what "
                    "was decoded is kept, run the same command again to go on."
                ) from None
            except Stopped:
                raise AmidError(
                    "A worker that decodes files was told to stop; what was decoded is kept, run "
                    "the same command again to go on."
                ) from None
            if not store.exists(job.shard.place):
                raise AmidError(
                    f"A worker wrote a shard to {masked(store.url)}, but it cannot be seen from "
                    "here: set AMID_STORE to a folder that all nodes share, or to a URL."
                )
            yield job.shard.name


def _named(group: tuple[Task, ...], limits: Limits, content: Callable[[Path], str]) -> Shard:
    files = [[content(task.path), task.path.name, *map(_asked, task.parts)] for task in group]
    parts = [*map(_decider, group[0].parts), list(limits), files]
    return Shard(sha256_bytes(json.dumps(parts, sort_keys=True).encode()), group)


def _asked(part: Part) -> list[Any]:
    """What is wanted of one file, without the manifest's rows, which other clips shift."""
    return [part.timed, [[span.id, *map(str, span[1:])] for span in part.spans]]


def _decider(part: Part) -> list[Any]:
    """What decides on the values of one modality, beside the files."""
    options = part.options.model_dump(mode="json")
    weights = {name: _trained(str(options[name])) for name in WEIGHTS if options.get(name)}
    return [part.extractor, options, weights, _code(part.extractor)]


def _content(path: Path) -> str:
    try:
        return sha256_file(path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        return type(error).__name__  # also a finding, which its outcome tells


@cache
def _trained(name: str) -> list[str]:
    """sha256 of a network's files, where an extractor's option names a file or folder here."""
    place = home() / name
    return [sha256_file(path) for path in sorted([place, *place.rglob("*")]) if path.is_file()]


@cache
def _code(extractor: str) -> str:
    """What decodes: code and versions of libraries."""
    parts = [code_fingerprint("amid.decoding", "amid.shards", EXTRACTORS[extractor])]
    for library in (*LIBRARIES, *OPTIONAL):
        try:
            parts.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            parts.append(f"no {library}")
    return " ".join([*parts, platform.machine(), f"python {sys.version_info[:2]}"])


def _write(folder: Path, shard: Shard, outcomes: Sequence[list[Outcome]]) -> None:
    """A shard's files, whose bytes depend on nothing else."""
    listed = []
    for number, part in enumerate(shard.tasks[0].parts):
        found = [those[number] for those in outcomes]
        module = load(part.extractor)
        shape = module.shape(part.options)
        ragged = shape[0] is None
        dtype = getattr(module, "DTYPE", np.float32)
        good = [v for outcome in found for v in outcome.values if not isinstance(v, MediaError)]
        rest = shape[1:] if ragged else shape
        # the same conversion as the feature store's, so that its bytes are the same
        whole = [np.asarray(v, dtype).reshape(-1, *rest) for v in good]
        values = np.concatenate(whole) if whole else np.zeros((0, *rest), dtype)
        np.save(folder / _values(number), values, allow_pickle=False)
        told = [
            {
                "seconds": outcome.seconds,
                "notes": dict(outcome.notes),
                "spans": [_said(v, ragged) for v in outcome.values],
            }
            for outcome in found
        ]
        options = part.options.model_dump(mode="json")
        listed.append({"extractor": part.extractor, "options": options, "outcomes": told})
    text = json.dumps(listed, indent=1, sort_keys=True) + "\n"
    (folder / OUTCOMES).write_text(text, encoding="utf-8")


def _values(number: int) -> str:
    """The file with the values of a shard's modality of that number."""
    return f"values_{number}.npy"


def _said(value: np.ndarray | MediaError, ragged: bool) -> int | list[str]:
    if isinstance(value, MediaError):
        return [str(value.reason), value.detail]
    return len(value) if ragged else 1


def _read(shard: Shard, store: Remote, limits: Limits) -> list[list[Outcome]]:
    """A shard's outcomes. One that turns out to be damaged, which the store tells, is decoded here
    and now."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if not store.pull(shard.place, folder):
            return [outcomes for _, outcomes in decoded(shard.tasks, workers=1, limits=limits)]
        listed = json.loads((folder / OUTCOMES).read_text(encoding="utf-8"))
        values = [
            np.load(folder / _values(number), allow_pickle=False) for number in range(len(listed))
        ]
    parts = shard.tasks[0].parts
    found = [
        _outcomes(part, told["outcomes"], those)
        for part, told, those in zip(parts, listed, values, strict=True)
    ]
    return [list(those) for those in zip(*found, strict=True)]


def _outcomes(part: Part, told: list[dict[str, Any]], values: np.ndarray) -> list[Outcome]:
    """Of one modality, a file each."""
    ragged = load(part.extractor).shape(part.options)[0] is None
    outcomes, at = [], 0
    for entry in told:
        found: list[np.ndarray | MediaError] = []
        for said in entry["spans"]:
            if isinstance(said, list):
                found.append(MediaError(Reason(said[0]), said[1]))
            else:
                found.append(values[at : at + said] if ragged else values[at])
                at += said
        outcomes.append(Outcome(found, entry["seconds"], entry["notes"]))
    return outcomes
