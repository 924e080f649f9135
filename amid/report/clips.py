"""Per-clip sections: quarantine, t-SNE, confusion matrix, predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amid.io.redact import escape_control
from amid.report import provenance, svg
from amid.report.blocks import ClipCard, ClipGrid, Heading, Picture, Pictures, Section, Text
from amid.report.data import FRAMES, ReportData, short
from amid.report.table_blocks import plain_table
from amid.serving.choice import choose
from amid.studies.base import REFERENCE

CONFUSED = 8  # pairs of classes that are listed


def quarantine(data: ReportData) -> Section:
    """How many clips were quarantined, and why."""
    blocks: list[object] = []
    found = {dataset: shown["quarantine"] for dataset, shown in data.exhibits.items()}
    rows = [[d, q["clips"], q["kept"], q["quarantined"]] for d, q in found.items()]
    columns = ("data set", "clips", "kept", "quarantined")
    blocks.append(plain_table("Clips of each data set", columns, rows))
    reasons = [
        [dataset, row["reason"].replace("_", " "), row["modality"], row["count"]]
        for dataset, of in found.items()
        for row in of["rows"]
    ]
    if reasons:
        columns = ("data set", "reason", "modality", "files")
        blocks.append(plain_table("Reasons for quarantine", columns, reasons))
        note = "A training clip may be kept without a modality that is damaged."
        where = "data/<data set>/quarantine.parquet lists them clip by clip."
        blocks += [Text(note), Text(where)]
    else:
        blocks.append(Text("Every clip could be read: none was quarantined."))
    return Section("quarantine", "Quarantined clips", blocks)


def tsne(data: ReportData) -> Section:
    """t-SNE of T and F, the representations of student and teacher."""
    blocks: list[object] = []
    for dataset, shown in data.exhibits.items():
        found = shown["plane"]
        if "missing" in found:
            blocks.append(Text(f"{dataset}: {found['missing']}"))
            continue
        classes = data.records[dataset][REFERENCE][0].classes
        points = found["points"]
        present = len({point[0] for point in points})
        titles = {
            "T, the student's": [(label, x, y) for label, x, y, _, _ in points],
            "F, the teacher's": [(label, x, y) for label, _, _, x, y in points],
        }
        pictures = [
            Picture(
                svg.scatter(cloud, classes, hollow=title[0] == "F"),
                f"{len(cloud)} points of {present} classes, {title} "
                f"representations. {_neighbour_agreement(cloud)}",
                f"{dataset}: {title} representation of {len(cloud)} test clips",
            )
            for title, cloud in titles.items()
        ]
        blocks.append(Pictures(pictures))
        blocks.append(
            Text(
                f"{dataset}: run {found['run']} (AMID, seed {found['seed']}), epoch "
                f"{found['epoch']}, the evaluated one; {len(points)} test clips drawn by seed "
                f"{data.params.report.seed}; one t-SNE of the normalized T and F together, so that "
                f"both pictures have the same axes; perplexity {found['perplexity']:g}. "
                + (
                    "Names stand at the medians of their classes."
                    if present <= svg.NAMED
                    else f"{present} classes are too many to name: hover a point to see its class."
                )
            )
        )
    note = (
        "t-SNE preserves neighbourhoods. Distances between groups, their sizes and the orientation "
        "have no meaning."
    )
    return Section("representations", "t-SNE of T and F", [*blocks, Text(note)])


def confusion(data: ReportData) -> Section:
    """Confusion matrix of the best student, and the pairs of classes it confuses most."""
    blocks: list[object] = []
    for dataset, of in data.records.items():
        candidates = {name: of[name] for name in data.params.student.configurations}
        name, run = choose(candidates)
        if not run.labels:
            blocks.append(Text(f"{dataset}: there are no test clips."))
            continue
        counts = np.zeros((len(run.classes),) * 2, int)
        np.add.at(counts, (run.labels, run.predictions["best"]["student"]), 1)
        pairs = most_confused(counts)
        named = [
            [escape_control(run.classes[a]), escape_control(run.classes[b]), int(counts[a, b]),
             int(counts[a].sum())]
            for a, b in pairs
        ]  # fmt: skip
        right = int(counts.trace())
        worst = "; ".join(f"{a} predicted as {b} ({n} of {m})" for a, b, n, m in named[:3])
        alt = (
            f"Matrix of {len(run.classes)} classes: {right} of {len(run.labels)} clips lie on the "
            f"diagonal. Most frequent errors: {worst or 'none'}."
        )
        caption = (
            f"{dataset}: rows are true classes, columns are predicted classes; the stronger the "
            "colour, the larger the share of the row"
        )
        blocks.append(
            Text(
                f"{dataset}: the student with the highest validation accuracy is that of "
                f"{short(name)}, seed {run.spec.seed} (run {run.key}, epoch {run.best_epoch + 1}). "
                f"It classifies {right} of {len(run.labels)} test clips correctly "
                f"({100 * right / len(run.labels):.1f} %)."
            )
        )
        blocks.append(
            Pictures(
                [Picture(svg.matrix(counts.tolist(), run.classes), alt, caption, layout="wide")],
                [("cell right", "correct"), ("cell wrong", "incorrect")],
            )
        )
        columns = ("true class", "predicted as", "clips", "of")
        caption = f"{dataset}: most frequent confusions"
        blocks.append(plain_table(caption, columns, named))
        behind = provenance.of_configurations(data, dataset, {name: [run]}, "The best student")
        blocks.append(behind)
    return Section("confusion", "Confusion matrix of the best student", blocks)


def predictions(data: ReportData) -> Section:
    """Test clips with the predictions of the best student, correct and incorrect ones."""
    blocks: list[object] = []
    for dataset, shown in data.exhibits.items():
        found = shown["samples"]
        if "missing" in found:
            blocks.append(Text(f"{dataset}: {found['missing']}"))
            continue
        blocks.append(Heading(f"{dataset}: {short(found['configuration'])}, run {found['run']}"))
        if "without_pictures" in found:
            blocks.append(Text(f"{found['without_pictures']} There are no frames to show."))
        blocks.append(ClipGrid([_clip(clip) for clip in found["clips"]]))
    note = (
        f"Test clips drawn by seed {data.params.report.seed}, half of them misclassified if there "
        f"are enough: {FRAMES} evenly spaced frames, cropped as for the student, the predicted "
        "class and its probability."
    )
    return Section("clips", "Predictions on test clips", [Text(note), *blocks])


def most_confused(counts: np.ndarray) -> list[tuple[int, int]]:
    """(true class, predicted class) of the CONFUSED most frequent errors in (C, C) counts."""
    wrong = counts * (1 - np.eye(len(counts), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSED]
    places = [divmod(int(place), len(counts)) for place in order]
    return [(a, b) for a, b in places if wrong[a, b]]


def _clip(clip: Mapping[str, Any]) -> ClipCard:
    (predicted, probability), *others = clip["ranked"]
    second = f"{escape_control(others[0][0])} {100 * others[0][1]:.0f} %" if others else ""
    return ClipCard(
        escape_control(clip["id"]), escape_control(clip["label"]), escape_control(predicted),
        probability, second, clip.get("picture"), clip.get("width", 0), clip.get("height", 0),
    )  # fmt: skip


def _neighbour_agreement(cloud: Sequence[tuple[int, float, float]]) -> str:
    """The share of points whose nearest neighbour is of the same class, as a sentence."""
    places = np.array([point[1:] for point in cloud])
    labels = np.array([point[0] for point in cloud])
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    same = float(np.mean(labels[distances.argmin(1)] == labels))
    return f"For {100 * same:.0f} % of the points the nearest neighbour is of the same class."
