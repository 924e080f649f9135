"""What the report shows of one data set beyond the run records: T and F of test clips in the plane,
clips with predictions, and what was set aside. A folder of one JSON file and a JPEG a clip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amid.checkpoint import read_checkpoint, write_atomic
from amid.features import plan
from amid.media import MediaError, Pictures, box_within
from amid.media.guard import guarded
from amid.reproducible import derive_seed
from amid.sums import sum_files

if TYPE_CHECKING:
    import pandas as pd

    from amid.config import DataSet, Report
    from amid.features import FeatureStore
    from amid.release import Candidates
    from amid.types import RunRecord

EXHIBITS = "exhibits.json"
PICTURED = ("densenet", "frame_dct", "frames")  # extractors of pictures: their files can be shown
FRAMES = 4  # of a clip
HEIGHT = 72  # pixels of a frame in the report
QUALITY = 70  # of JPEG
Task = tuple[Path, float, float, Any]  # file, start, end (seconds, NaN: its own), box or None


def write(folder: Path, found: dict[str, Any], pictures: dict[str, bytes]) -> None:
    """Files what a data set shows: the JSON, and the pictures by their names."""
    for name, data in pictures.items():
        write_atomic(folder / name, data)
    text = json.dumps(found, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_atomic(folder / EXHIBITS, f"{text}\n".encode())
    sum_files(folder, EXHIBITS, *pictures)


def set_aside(quarantine: pd.DataFrame, counts: dict[str, Any]) -> dict[str, Any]:
    """Clips found and kept, and how many have which problem with which modality.

    quarantine: as from `extract`. counts: its extract.json.
    """
    groups = quarantine.groupby(["reason", "modality"], sort=True).size()
    rows = [
        {"reason": str(reason), "modality": str(modality), "count": int(count)}
        for (reason, modality), count in groups.items()
    ]
    return {**{name: counts[name] for name in ("clips", "kept", "quarantined")}, "rows": rows}


def plane(run: RunRecord, checkpoint: Path, data: Path, chosen: Report) -> dict[str, Any]:
    """T and F of test clips at the epoch that validation chose, laid out in the plane by t-SNE.

    checkpoint: of the run, with all its networks. data: folder of the data set. Points are rows of
    label, x and y of T, x and y of F. A run or a data set that has nothing to lay out gives
    `missing`, a sentence, instead.
    """
    if "teacher" not in run.predictions["best"] or run.spec.teacher is not None:
        return {"missing": "The run trains no teacher along with the student: there is no F."}
    if len(run.labels) < 8:
        return {"missing": "There are too few test clips to lay out."}
    from amid.batches import load_splits
    from amid.engine import Trainer

    on_cpu = {name: v for name, v in run.spec.training.items() if name != "device"}
    splits = load_splits(data, run.spec)
    trainer = Trainer(replace(run.spec, training=on_cpu), splits)
    tensors, _ = read_checkpoint(checkpoint)
    start = "best.networks."
    weights = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
    trainer.networks.load_state_dict(weights)
    rows = drawn(len(run.labels), chosen.points, chosen.seed)
    import torch

    found = trainer.evaluate(splits.test.take(torch.from_numpy(rows)))
    both = [found[head].double().numpy() for head in ("student", "teacher")]  # (N, D) each
    places = laid_out(np.concatenate(both), chosen.perplexity, chosen.seed)  # (2N, 2)
    student, teacher = np.split(places, 2)
    return {
        "run": run.key,
        "seed": run.spec.seed,
        "epoch": run.best_epoch + 1,
        "perplexity": perplexity_of(len(places), chosen.perplexity),
        "points": [
            [int(run.labels[row]), *map(float, t), *map(float, f)]
            for row, t, f in zip(rows, student, teacher, strict=True)
        ],
    }


def drawn(count: int, wanted: int, seed: int) -> np.ndarray:
    """At most `wanted` of `count` rows, ascending; by the seed alone."""
    generator = np.random.default_rng(derive_seed(seed, "report"))
    return np.sort(generator.permutation(count)[:wanted])


def laid_out(vectors: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """t-SNE of the directions of (N, D) vectors: (N, 2) in 0..1, three decimals.

    The exact method in one thread (amid.reproducible): the same bytes whatever the number of cores.
    """
    from sklearn.manifold import TSNE

    directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    model = TSNE(
        perplexity=perplexity_of(len(vectors), perplexity), init="pca", method="exact",
        random_state=seed, n_jobs=1,
    )  # fmt: skip
    places = model.fit_transform(directions)
    span = np.ptp(places, axis=0).max()
    middle = (places.max(0) + places.min(0)) / 2
    return np.round(0.5 + (places - middle).astype(np.float64) / (span or 1.0), 3)


def perplexity_of(points: int, wanted: float) -> float:
    """t-SNE needs fewer neighbours than there are points; few points get a third of their count."""
    return float(min(wanted, max(2, points // 3)))


def samples(
    candidates: Candidates,
    models: dict[str, Path],
    block: DataSet,
    features: FeatureStore,
    manifest: pd.DataFrame,
    data: Path,
    chosen: Report,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Test clips, as far as there are such half of them wrong, with what the best student on
    validation says of them; and their pictures by file name.

    models: run key -> model file. manifest: paths relative to `data`, the data set's folder.
    """
    from amid.engine import load_model
    from amid.release import choose, describe
    from amid.student import Student

    configuration, run = choose(candidates)
    if not run.labels:
        return {"missing": "There are no test clips to show."}, {}
    places = right_and_wrong(run, chosen)
    weights, network = read_checkpoint(models[run.key])
    card = describe(configuration, run, candidates, block)
    networks = load_model(network, weights, models[run.key])
    student = Student(models[run.key].parent, card, networks)
    names = [run.clips[place] for place in places]
    answers = student.answer(_features(features, run.spec.target, names))
    clips = [
        {
            "id": name,
            "label": run.classes[run.labels[place]],
            "ranked": [[label, round(p, 4)] for label, p in list(answer.probabilities.items())[:2]],
        }
        for name, place, answer in zip(names, places, answers, strict=True)
    ]
    found = {"configuration": configuration, "run": run.key, "clips": clips}
    kind, _ = block.extract[run.spec.target]
    if kind not in PICTURED:
        what = "features made elsewhere" if kind == "features" else f"{run.spec.target} ({kind})"
        return {**found, "without_pictures": f"The student is given {what}, no pictures."}, {}
    pictures = {}
    tasks = _tasks(manifest, block, names, data)
    for number, sheet in enumerate(guarded(contact_sheet, tasks, names, workers=1)):
        if not isinstance(sheet, MediaError):  # else shown without: the file is gone or damaged
            data_of, width, height = sheet
            clips[number] |= {"picture": f"{number:02d}.jpg", "width": width, "height": height}
            pictures[f"{number:02d}.jpg"] = data_of
    return found, pictures


def right_and_wrong(run: RunRecord, chosen: Report) -> list[int]:
    """Places of test clips, wrong ones first: half of each as far as there are such; drawn by the
    seed."""
    right = np.equal(run.predictions["best"]["student"], run.labels)
    generator = np.random.default_rng(derive_seed(chosen.seed, "samples"))
    wrong, good = (generator.permutation(np.flatnonzero(flags)) for flags in (~right, right))
    of_wrong = min(len(wrong), max(chosen.samples // 2, chosen.samples - len(good)))
    return [*map(int, wrong[:of_wrong]), *map(int, good[: chosen.samples - of_wrong])]


def contact_sheet(task: Task) -> tuple[bytes, int, int] | MediaError:
    """FRAMES frames evenly over a span of a film, side by side as a JPEG; its width and height."""
    import cv2

    from amid.media.film import read_one

    path, start, end, box = task
    (frames,) = read_one(path, Pictures([(start, end, box)], FRAMES, convert=_small))
    if isinstance(frames, MediaError):
        return frames
    sheet = np.concatenate(list(frames), axis=1)  # (H, FRAMES * W, 3), blue first
    done, data = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return data.tobytes(), sheet.shape[1], sheet.shape[0]


def _small(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (HEIGHT, W', 3) of the same shape; never stretched to more than thrice."""
    import cv2

    width = min(max(round(image.shape[1] * HEIGHT / image.shape[0]), 8), 3 * HEIGHT)
    return cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_AREA)


def _tasks(manifest: pd.DataFrame, block: DataSet, names: Sequence[str], data: Path) -> list[Task]:
    """What to decode of the clips `names`."""
    target = block.target
    rows = manifest.set_index("id", drop=False).loc[list(names)].reset_index(drop=True)
    box = getattr(block.extract[target][1], "box", None)
    found = {
        row: (task.path, span.start, span.end, box_within(span.box, box))
        for task in plan(rows, data, {target: block.extract[target]})
        for row, span in zip(task.parts[0].rows, task.parts[0].spans, strict=True)
    }
    return [found[row] for row in range(len(names))]


def _features(features: FeatureStore, target: str, names: Sequence[str]) -> list[np.ndarray]:
    """Features of the clips `names`, without padding."""
    rows = features.index.reset_index().set_index("id").loc[list(names), "index"]
    array = features.array(target)
    if not features.ragged(target):
        return [array[row] for row in rows]
    starts, lengths = features.spans(target)
    return [array[starts[row] : starts[row] + lengths[row]] for row in rows]
