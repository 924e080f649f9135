"""Extract features in shards, on any executor, host or pod; the bytes do not depend on that.

A shard is some files that have the same modalities, with their spans. Its name is a hash of all
that decides on its result: extractors, options, limits, code, libraries, and of every file the
content, the last part of the path (an extension counts) and the spans. So a shard that is done
twice, here and there at once, gives the same bytes, and a store (`ContentStore`) has it whole or
not at all:

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

from amid.core.reproducible import code_fingerprint
from amid.data.decoding import Outcome, Part, Task, decoded
from amid.errors import AmidError, ConfigError, Stopped
from amid.executors import WorkerLost, stop_requested
from amid.executors.local import Local
from amid.extractors import EXTRACTORS, load
from amid.io.checksums import sha256_bytes, sha256_file
from amid.io.processes import available_cores
from amid.io.project import project_home
from amid.io.redact import redact
from amid.media import MediaError, Reason
from amid.media.guard import LIMITS, Limits

if TYPE_CHECKING:
    from amid.data.extraction import Decoder
    from amid.executors import Executor
    from amid.io.content_store import ContentStore

FILES = 64  # of a shard, where nobody says otherwise: some seconds to minutes of a core
OUTCOMES = "outcomes.json"
# Decoders and the arithmetic behind the extractors; other versions may give other bytes.
LIBRARIES = ("av", "numpy", "opencv-python-headless", "scipy")
OPTIONAL = ("torch", "torchvision", "transformers")
WEIGHTS = ("weights", "model")  # options that may name files beside those of the data
REQUESTS = 16  # of a store that is elsewhere, at once


@dataclass(frozen=True)
class Settings:
    """Settings from the environment.

    store: AMID_STORE, a path or URL, or None.
    workers: processes on this machine: AMID_WORKERS, else one per core.
    files: per shard, AMID_SHARD_FILES; has to be the same for all that share an extraction.
    """

    store: str | None
    workers: int
    files: int

    @classmethod
    def of(cls, environment: Mapping[str, str], workers: int) -> Self:
        """workers: of params.yaml, 0 for none. Raises ConfigError for text that is no number."""
        store = environment.get("AMID_STORE") or None
        if store is not None and "://" not in store:  # workers elsewhere have another folder
            store = str(Path(store).expanduser().absolute())
        return cls(
            store,
            number(environment, "AMID_WORKERS", workers or available_cores()),
            number(environment, "AMID_SHARD_FILES", FILES),
        )


def number(environment: Mapping[str, str], variable: str, default: int, least: int = 1) -> int:
    """A whole number of the environment. Raises ConfigError for any other, or below `least`."""
    text = environment.get(variable) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"{variable} is {text!r}: set it to a whole number from {least} on.")
    return int(text)


@dataclass(frozen=True)
class Shard:
    """Tasks with the same modalities, and a name that is a hash of all their result depends on."""

    name: str
    tasks: tuple[Task, ...]

    @property
    def place(self) -> str:
        """Its name in the store."""
        return f"shards/{self.name}"


@dataclass(frozen=True)
class Job:
    """A shard for a worker. home: the project's folder, for weights that lie in it."""

    shard: Shard
    store: str = field(repr=False)  # it may hold a password
    home: Path
    limits: Limits


def cut(tasks: Sequence[Task], files: int = FILES) -> list[tuple[Task, ...]]:
    """Group the tasks by their modalities, in the given order, at most `files` in a group."""
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
    """Name the groups by their content; reads all their files, `workers` at a time."""
    content = cache(_content)  # a film with sound is a file of two modalities
    with ThreadPoolExecutor(max(workers, 1)) as pool:  # hashing needs no interpreter
        return list(pool.map(partial(_named, limits=limits, content=content), groups))


def make(
    shards: Sequence[Shard], store: ContentStore, *, workers: int, limits: Limits
) -> Iterator[str]:
    """Decode shards into the store; yields the name of each once it is complete.

    Raises Stopped between two files if the worker is asked to stop: a shard has no saved state.
    """
    found = decoded([t for shard in shards for t in shard.tasks], workers=workers, limits=limits)
    for shard in shards:
        outcomes = []
        for _, those in islice(found, len(shard.tasks)):
            if stop_requested():
                raise Stopped
            outcomes.append(those)
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), shard, outcomes)
            store.push(Path(folder), shard.place)
        yield shard.name


def work(job: Job) -> None:
    """Decode one shard, in a worker of an executor. Raises AmidError if the worker's files or code
    are not those of the stage, Stopped if it is asked to stop."""
    from amid.io.content_store import ContentStore

    if stop_requested():
        raise Stopped
    os.environ.setdefault("DVC_ROOT", str(job.home))
    if _named(job.shard.tasks, job.limits, _content).name != job.shard.name:
        first = job.shard.tasks[0].path
        raise AmidError(
            f"A worker on {platform.node()} has not the same files as the stage ({first} and "
            "those after it), or other code or libraries: give all nodes the same version, and "
            "the raw files under the same path, on a folder that they share."
        )
    list(make([job.shard], ContentStore(job.store), workers=1, limits=job.limits))


def decoder(settings: Settings, executor: Executor, spare: Path) -> Decoder | None:
    """The decoder for `extract_features`; None for its own, without a store or another executor.

    spare: the folder for shards if there is no AMID_STORE. Workers on other machines need to see
        it under the same path, as they do the raw files.
    """
    if settings.store is None and isinstance(executor, Local):
        return None
    from amid.io.content_store import ContentStore

    return sharded(ContentStore(settings.store or str(spare.absolute())), executor, settings)


def sharded(
    store: ContentStore, executor: Executor, settings: Settings, limits: Limits = LIMITS
) -> Decoder:
    """A decoder that reads the shards that the store has, and has the others made.

    The local executor makes them in child processes of this one. Raises AmidError for a worker that
    is lost for good; the shards that are complete by then stay in the store.
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
            jobs = [Job(shard, store.url, project_home().absolute(), limits) for shard in todo]
            made = _elsewhere(jobs, store, executor, settings.workers if executor.here else 0)
        for shard in shards:
            if waiting.pop(shard.name, None) is not None:
                next(made)
            yield from zip(shard.tasks, _read(shard, store, limits), strict=True)

    return decode


def _elsewhere(
    jobs: Sequence[Job], store: ContentStore, executor: Executor, workers: int
) -> Iterator[str]:
    """Have the jobs done; yields the name of each shard, in order, once the store has it."""
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
                    f"A worker wrote a shard to {redact(store.url)}, but it cannot be seen from "
                    "here: set AMID_STORE to a folder that all nodes share, or to a URL."
                )
            yield job.shard.name


def _named(group: tuple[Task, ...], limits: Limits, content: Callable[[Path], str]) -> Shard:
    files = [[content(task.path), task.path.name, *map(_asked, task.parts)] for task in group]
    parts = [*map(_decider, group[0].parts), list(limits), files]
    return Shard(sha256_bytes(json.dumps(parts, sort_keys=True).encode()), group)


def _asked(part: Part) -> list[Any]:
    """What is asked of one file, without row numbers, which depend on other clips."""
    return [part.timed, [[span.id, *map(str, span[1:])] for span in part.spans]]


def _decider(part: Part) -> list[Any]:
    """Everything that the values of one modality depend on, except the files."""
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
    """sha256 of the weights, if an option of an extractor names a file or folder here."""
    place = project_home() / name
    return [sha256_file(path) for path in sorted([place, *place.rglob("*")]) if path.is_file()]


@cache
def _code(extractor: str) -> str:
    """Fingerprint of the code and the libraries that decode."""
    parts = [code_fingerprint("amid.data.decoding", "amid.data.shards", EXTRACTORS[extractor])]
    for library in (*LIBRARIES, *OPTIONAL):
        try:
            parts.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            parts.append(f"no {library}")
    return " ".join([*parts, platform.machine(), f"python {sys.version_info[:2]}"])


def _write(folder: Path, shard: Shard, outcomes: Sequence[list[Outcome]]) -> None:
    """Write the files of a shard; their bytes depend on shard and outcomes alone."""
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
    """The name of the file with the values of modality `number` of a shard."""
    return f"values_{number}.npy"


def _said(value: np.ndarray | MediaError, ragged: bool) -> int | list[str]:
    if isinstance(value, MediaError):
        return [str(value.reason), value.detail]
    return len(value) if ragged else 1


def _read(shard: Shard, store: ContentStore, limits: Limits) -> list[list[Outcome]]:
    """Read the outcomes of a shard; a damaged one is reported by the store and decoded here."""
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
    """The outcomes of one modality, one per file."""
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
