"""What the report shows of one data set besides its run records: t-SNE of T and F, predictions on
sample clips, and counts of quarantined clips. A folder of one JSON file and one JPEG per clip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amid.core.checkpoint import read_checkpoint
from amid.core.reproducible import derive_seed, use_deterministic_kernels
from amid.data.extraction import plan_tasks
from amid.io.atomic import write_atomic
from amid.io.checksums import record_checksums
from amid.media import MediaError, Pictures, box_within
from amid.media.guard import guarded
from amid.report.data import EXHIBITS, FRAMES
from amid.runs.store import MODEL
from amid.serving.encoding import clip_features, encode_clips, load_with_teacher

if TYPE_CHECKING:
    import pandas as pd

    from amid.config import DataSet, Report
    from amid.core.types import RunRecord
    from amid.data.feature_store import FeatureStore
    from amid.serving.choice import Candidates

PICTURED = (
    "densenet",
    "frame_dct",
    "frames",
)  # extractors of images: frames can be shown
HEIGHT = 72  # pixels of a frame in the report
QUALITY = 70  # of JPEG
Task = tuple[Path, float, float, Any]  # file, start, end (seconds, NaN: its own), box or None


def write(folder: Path, found: dict[str, Any], pictures: dict[str, bytes]) -> None:
    """Writes the JSON file and the pictures, by file name, with their checksums."""
    for name, data in pictures.items():
        write_atomic(folder / name, data)
    text = json.dumps(found, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_atomic(folder / EXHIBITS, f"{text}\n".encode())
    record_checksums(folder, EXHIBITS, *pictures)


def quarantine_counts(quarantine: pd.DataFrame, counts: dict[str, Any]) -> dict[str, Any]:
    """Numbers of clips found, kept and quarantined, and of problems by reason and modality.

    quarantine: as from `extract`. counts: its extract.json.
    """
    groups = quarantine.groupby(["reason", "modality"], sort=True).size()
    rows = [
        {"reason": str(reason), "modality": str(modality), "count": int(count)}
        for (reason, modality), count in groups.items()
    ]
    return {**{name: counts[name] for name in ("clips", "kept", "quarantined")}, "rows": rows}


def tsne(run: RunRecord, checkpoint: Path, data: Path, chosen: Report) -> dict[str, Any]:
    """t-SNE of T and F of test clips, at the epoch chosen on validation.

    checkpoint: of the run, beside its model file. data: folder of the data set. Points are rows of
    label, x and y of T, x and y of F. Where a run or a data set has none, the result is a sentence
    under `missing`.
    """
    if "teacher" not in run.predictions["best"] or run.spec.teacher is not None:
        return {"missing": "The run trains no teacher along with the student: there is no F."}
    if len(run.labels) < 8:
        return {"missing": "There are too few test clips to lay out."}
    import torch

    from amid.data.splits import load_splits

    use_deterministic_kernels()
    rows = sample_rows(len(run.labels), chosen.points, chosen.seed)
    batch = load_splits(data, run.spec).test.take(torch.from_numpy(rows))
    widths = {name: batch.auxiliary[name].shape[1] for name in run.spec.auxiliary}
    networks = load_with_teacher(checkpoint.with_name(MODEL), checkpoint, widths)
    encoded = encode_clips(networks, batch.target, batch.auxiliary)
    both = [encoded[head].double().numpy() for head in ("student", "teacher")]  # (N, D) each
    places = tsne_layout(np.concatenate(both), chosen.perplexity, chosen.seed)  # (2N, 2)
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


def sample_rows(count: int, wanted: int, seed: int) -> np.ndarray:
    """At most `wanted` of `count` rows, ascending; a function of the seed."""
    generator = np.random.default_rng(derive_seed(seed, "report"))
    return np.sort(generator.permutation(count)[:wanted])


def tsne_layout(vectors: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """t-SNE of normalized (N, D) vectors: (N, 2) in 0..1, rounded to three decimals.

    The exact method in one thread (amid.core.reproducible), so that the result does not depend on
    the number of cores.
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
    """`wanted`, but at most a third of the points: t-SNE needs more points than neighbours."""
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
    """Test clips with the predictions of the student that is best on validation, and their pictures
    by file name.

    models: run key -> model file. manifest: paths relative to `data`, the data set's folder.
    """
    import pandas as pd

    from amid.serving.choice import choose
    from amid.serving.release import describe
    from amid.serving.student import Student
    from amid.training.model_file import load_model

    use_deterministic_kernels()
    configuration, run = choose(candidates)
    if not run.labels:
        return {"missing": "There are no test clips to show."}, {}
    places = choose_samples(run, chosen)
    weights, network = read_checkpoint(models[run.key])
    card = describe(configuration, run, candidates, block)
    networks = load_model(network, weights, models[run.key])
    student = Student(models[run.key].parent, card, networks)
    names = [run.clips[place] for place in places]
    rows = pd.Index(features.index["id"]).get_indexer(names)
    answers = student.answer(clip_features(features, run.spec.target, rows))
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


def choose_samples(run: RunRecord, chosen: Report) -> list[int]:
    """Positions of test clips drawn by the seed, misclassified ones first: half of them if there
    are enough."""
    right = np.equal(run.predictions["best"]["student"], run.labels)
    generator = np.random.default_rng(derive_seed(chosen.seed, "samples"))
    wrong, good = (generator.permutation(np.flatnonzero(flags)) for flags in (~right, right))
    of_wrong = min(len(wrong), max(chosen.samples // 2, chosen.samples - len(good)))
    return [*map(int, wrong[:of_wrong]), *map(int, good[: chosen.samples - of_wrong])]


def contact_sheet(task: Task) -> tuple[bytes, int, int] | MediaError:
    """FRAMES evenly spaced frames of a clip, side by side: JPEG bytes, width and height."""
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
    """(H, W, 3) -> (HEIGHT, W', 3) of the same aspect ratio, within bounds."""
    import cv2

    width = min(max(round(image.shape[1] * HEIGHT / image.shape[0]), 8), 3 * HEIGHT)
    return cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_AREA)


def _tasks(manifest: pd.DataFrame, block: DataSet, names: Sequence[str], data: Path) -> list[Task]:
    """What to decode for the clips `names`."""
    target = block.target
    rows = manifest.set_index("id", drop=False).loc[list(names)].reset_index(drop=True)
    box = getattr(block.extract[target][1], "box", None)
    found = {
        row: (task.path, span.start, span.end, box_within(span.box, box))
        for task in plan_tasks(rows, data, {target: block.extract[target]})
        for row, span in zip(task.parts[0].rows, task.parts[0].spans, strict=True)
    }
    return [found[row] for row in range(len(names))]
