"""A released student: loads the folder that the stage `student` writes, and predicts.

    from amid.serving import student

    model = student.load("student/grid")
    for answer in model.predict(["bbaf2n.mpg"], start=0.92, end=1.24, neighbours=3):
        print(answer.label, answer.probability, answer.neighbours)

It uses the target modality alone: a video needs neither sound nor other files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from amid.errors import AmidError, ConfigError
from amid.extractors import Span
from amid.extractors import load as load_extractor
from amid.media import MediaError
from amid.media.guard import Limits, guarded
from amid.serving.encoding import encode_clips
from amid.serving.inputs import Given

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import BaseModel
    from torch import Tensor

    from amid.core.video_clips import Clips
    from amid.networks.crossmodal import CrossModal

CARD, WEIGHTS = "card.json", "model.safetensors"
PROGRAM, ONNX = "program.pt2", "student.onnx"
CLIPS, REPRESENTATIONS = "training.parquet", "training.npy"  # the index of neighbours
BATCH = 256  # clips at once


class Neighbour(NamedTuple):
    """A training clip close to the given one; cosine of their representations.

    path: of its file, relative to the project's root. start, end: seconds, None for the file's own.
    """

    id: str
    label: str
    cosine: float
    path: str
    start: float | None
    end: float | None


@dataclass(frozen=True)
class Prediction:
    """The prediction for one clip.

    probabilities: of all classes, the most probable first. neighbours: nearest first.
    problem: why there is no prediction, in one sentence; the other fields are then empty.
    """

    path: str
    probabilities: dict[str, float]
    neighbours: tuple[Neighbour, ...] = ()
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields that have a value, for JSON."""
        found: dict[str, Any] = {"path": self.path} if self.path else {}
        if self.problem is not None:
            return {**found, "problem": self.problem}
        found |= {
            "label": self.label,
            "probability": self.probability,
            "probabilities": self.probabilities,
        }
        if self.neighbours:
            given = [near._asdict().items() for near in self.neighbours]
            found["neighbours"] = [{k: v for k, v in near if v is not None} for near in given]
        return found

    @property
    def label(self) -> str | None:
        """The most probable class."""
        return next(iter(self.probabilities), None)

    @property
    def probability(self) -> float | None:
        """The probability of `label`, 0..1."""
        return next(iter(self.probabilities.values()), None)


class File(NamedTuple):
    """A file to decode, picklable for a child process."""

    extractor: str
    options: BaseModel
    path: Path
    span: Span


def decoded(file: File) -> np.ndarray | MediaError:
    """The features of one file by its extractor, or the reason why there are none. How long the
    other stream of a film lasts does not matter: the student needs its own alone."""
    module = load_extractor(file.extractor)
    if hasattr(module, "request"):
        from amid.media import film  # imports the decoders

        asked = module.request([file.span], file.options)
        (reading,) = film.read(file.path, [asked], compare=False)
        (values,) = module.describe_clips(reading.clips, [file.span], file.options)
        return values
    try:
        (values,) = module.extract(file.path, [file.span], file.options)
    except MediaError as error:
        return error
    return values


class Student:
    """A student with its card, as returned by `load`."""

    def __init__(self, folder: Path, card: dict[str, Any], networks: CrossModal) -> None:
        self.folder, self.card, self.networks = folder, card, networks
        self.classes: list[str] = card["classes"]
        self.target: str = card["target"]
        self.extractor: str = card["input"]["extractor"]
        self.shape: tuple[int | None, ...] = tuple(card["input"]["shape"])
        self.dtype = np.dtype(card["input"]["dtype"])
        self.options: BaseModel = _options(folder / CARD, card)

    def predict(
        self,
        paths: Sequence[str | Path],
        *,
        start: float = math.nan,
        end: float = math.nan,
        neighbours: int = 0,
        limits: Limits | None = None,
    ) -> list[Prediction]:
        """One prediction per file, in their order, for its seconds from `start` to `end`.

        NaN stands for the file's own start or end. A file that cannot be used has a `problem`; the
        others are predicted.

        limits: of time and memory for untrusted files, which a child process then decodes.
        """
        clips = [Given(str(path), start, end) for path in paths]
        return list(self.predictions(clips, neighbours=neighbours, limits=limits))

    def predictions(
        self,
        clips: Sequence[Given],
        *,
        neighbours: int = 0,
        limits: Limits | None = None,
        batch: int = BATCH,
        workers: int = 1,
    ) -> Iterator[Prediction]:
        """As `predict`, one after the other: of the clips, `batch` at once are held in memory.

        workers: child processes that decode, with `limits`.
        """
        files = [self._file(clip.path, clip.start, clip.end) for clip in clips]
        decodes: Iterator[np.ndarray | MediaError] = map(decoded, files)
        if limits is not None:
            names = [file.path.name for file in files]
            decodes = guarded(decoded, files, names, workers=workers, limits=limits)
        waiting = iter(clips)
        while part := list(islice(waiting, max(batch, 1))):
            features = list(islice(decodes, len(part)))
            good = [values for values in features if not isinstance(values, MediaError)]
            answers = iter(self.answer(good, neighbours=neighbours) if good else [])
            for clip, values in zip(part, features, strict=True):
                if isinstance(values, MediaError):
                    yield Prediction(clip.path, {}, problem=sentence(clip.path, values))
                else:
                    yield _named(clip.path, next(answers))

    def features(
        self, path: str | Path, *, start: float = math.nan, end: float = math.nan
    ) -> np.ndarray | MediaError:
        """The features of a file of the target modality, or the reason why there are none."""
        return decoded(self._file(path, start, end))

    def _file(self, path: str | Path, start: float, end: float) -> File:
        return File(self.extractor, self.options, Path(path), Span(Path(path).name, start, end))

    def answer(
        self, features: np.ndarray | Sequence[np.ndarray], *, neighbours: int = 0
    ) -> list[Prediction]:
        """As `predict`, for clips given by their features; without paths."""
        probabilities, representations = self.run(features)
        near = self.neighbours(representations, neighbours) if neighbours else None
        answers = []
        for number, row in enumerate(probabilities):
            order = np.argsort(-row, kind="stable")
            ranked = {self.classes[place]: float(row[place]) for place in order}
            answers.append(Prediction("", ranked, near[number] if near else ()))
        return answers

    def classify(self, features: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Probabilities (N, C), in the order of `classes`; features as in `represent`."""
        return self.run(features)[0]

    def represent(self, features: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Representations (N, D) float32 of clips' features: (N, *shape), or for sequences of
        unequal length N arrays. AmidError for another shape, NaN or infinity."""
        return self.run(features)[1]

    def run(self, features: np.ndarray | Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (N, C) and representations (N, D), float32."""
        import torch

        alone = len(features) == 1
        clips = [
            self._checked("" if alone else f" of clip {number}", values)
            for number, values in enumerate(features)
        ]
        if not clips:
            raise AmidError("No clip was given: name at least one.")
        found = [encode_clips(self.networks, samples) for samples in self._samples(clips)]
        return tuple(
            torch.cat([part[name] for part in found]).numpy()
            for name in ("probabilities", "student")
        )

    def _samples(self, clips: list[np.ndarray]) -> Iterator[Tensor | Clips]:
        """The clips in parts as `encode_clips` takes them: videos and sequences of unequal length
        one by one, which need no padding then, others BATCH at once."""
        import torch

        from amid.core.video_clips import Clips

        if hasattr(self.networks.student, "windows"):
            yield from (Clips.of([video]) for video in clips)
            return
        length = BATCH if len({clip.shape for clip in clips}) == 1 else 1
        for first in range(0, len(clips), length):
            yield torch.from_numpy(np.stack(clips[first : first + length]))

    def neighbours(self, representations: np.ndarray, count: int) -> list[tuple[Neighbour, ...]]:
        """The `count` training clips with the largest cosine for each of (N, D), nearest first."""
        import torch

        from amid.core.portable import route_to_numpy
        from amid.training.retrieval import nearest

        route_to_numpy()
        clips, gallery = self._index
        cosines, rows = nearest(
            torch.from_numpy(representations), torch.from_numpy(gallery), max(count, 1)
        )  # (N, K)
        found = []
        for values, places in zip(cosines.tolist(), rows.tolist(), strict=True):
            listed = clips.iloc[places].itertuples(index=False)
            found.append(
                tuple(
                    Neighbour(c.id, c.label, value, c.path, _given(c.start), _given(c.end))
                    for c, value in zip(listed, values, strict=True)
                )
            )
        return found

    @cached_property
    def _index(self) -> tuple[pd.DataFrame, np.ndarray]:
        """The training clips (id, label, path, start, end) and their representations (M, D)."""
        import pandas as pd

        for name in (CLIPS, REPRESENTATIONS):
            if not (self.folder / name).exists():
                raise AmidError(
                    f"{self.folder / name} is missing, so there are no neighbours to find: make "
                    "the student again with `dvc repro pipelines/student/dvc.yaml`."
                )
        gallery = np.load(self.folder / REPRESENTATIONS, allow_pickle=False)
        return pd.read_parquet(self.folder / CLIPS), gallery

    def _checked(self, which: str, values: Any) -> np.ndarray:
        """One clip's features as the network takes them. which: names the clip in an error."""
        try:
            clip = np.asarray(values, self.dtype)
        except (TypeError, ValueError):
            raise AmidError(
                f"The features{which} are no array of numbers; this student takes "
                f"{self.target} as {_words(self.shape)}."
            ) from None
        fits = clip.ndim == len(self.shape) and all(
            wanted in (None, given) for wanted, given in zip(self.shape, clip.shape, strict=True)
        )
        if not fits or not clip.size:
            raise AmidError(
                f"The features{which} are {_words(clip.shape)}, but this student takes "
                f"{self.target} as {_words(self.shape)}: use its extractor, '{self.extractor}'."
            )
        if not np.isfinite(clip).all():
            raise AmidError(f"The features{which} hold NaN or infinity: leave it out.")
        return clip


def load(folder: str | Path) -> Student:
    """Loads the student in `folder`, such as student/grid. AmidError if there is none.

    >>> model = load("student/grid")                         # doctest: +SKIP
    >>> model.predict(["bbaf2n.mpg"], start=0.92, end=1.24)[0].label    # doctest: +SKIP
    'blue'
    """
    folder = Path(folder)
    path = folder / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise AmidError(
            f"{folder} holds no student ({CARD} is missing): name a folder that the stage "
            "`student` made, or make one with `dvc repro pipelines/student/dvc.yaml`."
        ) from None
    except (OSError, ValueError) as error:
        raise AmidError(f"{path} cannot be read ({error}): make the student again.") from None
    if not isinstance(card, dict) or not {"classes", "input", "target"} <= card.keys():
        raise AmidError(f"{path} is no student's card: name the folder of a student.")
    if not (folder / WEIGHTS).exists():
        raise AmidError(f"{folder / WEIGHTS} is missing: make the student again.")
    from amid.core.checkpoint import read_checkpoint
    from amid.training.model_file import load_model

    weights, network = read_checkpoint(folder / WEIGHTS)
    return Student(folder, card, load_model(network, weights, folder / WEIGHTS))


def sentence(path: str | Path, error: MediaError) -> str:
    """Why a file cannot be used, as a sentence."""
    return f"{path} cannot be used ({error.reason.replace('_', ' ')}): {error.detail}."


def _given(seconds: float) -> float | None:
    return None if math.isnan(seconds) else float(seconds)


def _named(path: str, answer: Prediction) -> Prediction:
    return Prediction(path, answer.probabilities, answer.neighbours)


def _options(path: Path, card: dict[str, Any]) -> BaseModel:
    """The extractor's options from the card, checked by its module."""
    from pydantic import ValidationError

    given = card["input"]
    try:
        return load_extractor(given["extractor"]).Options.model_validate(given["options"])
    except ConfigError as error:
        raise AmidError(f"{path}: {error}") from None
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise AmidError(
            f"{path}: the extractor '{given['extractor']}' refuses its option '{key}' "
            f"({problem['msg']}): this student was made by another version; make it again."
        ) from None


def _words(shape: Sequence[int | None]) -> str:
    return "a number" if not shape else " x ".join("any" if n is None else str(n) for n in shape)
