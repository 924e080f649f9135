"""What became of single clips: set aside, laid out in the plane, confused, predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amid.release import choose
from amid.report import sources, svg
from amid.report.content import Clip, Heading, Picture, Pictures, Section, Sheet, Text
from amid.report.exhibits import FRAMES
from amid.report.material import Material, short
from amid.report.tables import plain_table
from amid.results import REFERENCE
from amid.shown import printable

CONFUSED = 8  # pairs that are named


def quarantine(material: Material) -> Section:
    """How many clips were set aside, and why."""
    blocks: list[object] = []
    found = {dataset: shown["quarantine"] for dataset, shown in material.exhibits.items()}
    rows = [[d, q["clips"], q["kept"], q["quarantined"]] for d, q in found.items()]
    columns = ("data set", "clips", "kept", "set aside")
    blocks.append(plain_table("Clips of each data set", columns, rows))
    reasons = [
        [dataset, row["reason"].replace("_", " "), row["modality"], row["count"]]
        for dataset, of in found.items()
        for row in of["rows"]
    ]
    if reasons:
        columns = ("data set", "reason", "modality", "files")
        blocks.append(plain_table("What was found wrong", columns, reasons))
        note = "A clip of the training split may be kept without a modality that is damaged."
        where = "data/<data set>/quarantine.parquet lists them clip by clip."
        blocks += [Text(note), Text(where)]
    else:
        blocks.append(Text("Every clip could be read: nothing was set aside."))
    return Section("quarantine", "Clips set aside", blocks)


def plane(material: Material) -> Section:
    """t-SNE of T and F."""
    blocks: list[object] = []
    for dataset, shown in material.exhibits.items():
        found = shown["plane"]
        if "missing" in found:
            blocks.append(Text(f"{dataset}: {found['missing']}"))
            continue
        classes = material.records[dataset][REFERENCE][0].classes
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
                f"representations. {_tightness(cloud)}",
                f"{dataset}: {title} representation of {len(cloud)} test clips",
            )
            for title, cloud in titles.items()
        ]
        blocks.append(Pictures(pictures))
        blocks.append(
            Text(
                f"{dataset}: run {found['run']} (AMID, seed {found['seed']}), epoch "
                f"{found['epoch']}, chosen on validation; {len(points)} test clips drawn by seed "
                f"{material.params.report.seed}; t-SNE of the directions of T and F together, so "
                f"that both pictures have the same axes; perplexity {found['perplexity']:g}. "
                + (
                    "A class is named at its middle."
                    if present <= svg.NAMED
                    else f"{present} classes are too many to be named: a point tells its own when "
                    "pointed at."
                )
            )
        )
    note = (
        "Read it with care: t-SNE keeps neighbours together, but how far apart two groups lie, how "
        "large they are and which way is up means nothing."
    )
    return Section("representations", "T and F in the plane", [*blocks, Text(note)])


def confusion(material: Material) -> Section:
    """Which classes the best student takes for which."""
    blocks: list[object] = []
    for dataset, of in material.records.items():
        candidates = {name: of[name] for name in material.params.student.configurations}
        name, run = choose(candidates)
        if not run.labels:
            blocks.append(Text(f"{dataset}: there are no test clips."))
            continue
        counts = np.zeros((len(run.classes),) * 2, int)
        np.add.at(counts, (run.labels, run.predictions["best"]["student"]), 1)
        pairs = confused(counts)
        named = [
            [printable(run.classes[a]), printable(run.classes[b]), int(counts[a, b]),
             int(counts[a].sum())]
            for a, b in pairs
        ]  # fmt: skip
        right = int(counts.trace())
        worst = "; ".join(f"{a} is taken for {b} ({n} of {m})" for a, b, n, m in named[:3])
        alt = (
            f"Matrix of {len(run.classes)} classes: {right} of {len(run.labels)} clips lie on the "
            f"diagonal. Most often {worst or 'nothing is confused'}."
        )
        caption = (
            f"{dataset}: rows are the true classes, columns what the student said; the "
            "stronger the colour, the larger the share of the row"
        )
        blocks.append(
            Text(
                f"{dataset}: of all students the one of {short(name)}, seed {run.spec.seed}, is "
                f"best on validation (run {run.key}, epoch {run.best_epoch + 1}). It takes "
                f"{right} of {len(run.labels)} test clips for what they are "
                f"({100 * right / len(run.labels):.1f} %)."
            )
        )
        blocks.append(
            Pictures(
                [Picture(svg.matrix(counts.tolist(), run.classes), alt, caption, wide=True)],
                [("cell right", "right"), ("cell wrong", "wrong")],
            )
        )
        columns = ("true class", "taken for", "clips", "of")
        caption = f"{dataset}: the pairs confused most often"
        blocks.append(plain_table(caption, columns, named))
        behind = sources.of_configurations(material, dataset, {name: [run]}, "The best student")
        blocks.append(behind)
    return Section("confusion", "What the best student confuses", blocks)


def clips(material: Material) -> Section:
    """Some test clips, wrong and right ones, with what the best student says of them."""
    blocks: list[object] = []
    for dataset, shown in material.exhibits.items():
        found = shown["samples"]
        if "missing" in found:
            blocks.append(Text(f"{dataset}: {found['missing']}"))
            continue
        blocks.append(Heading(f"{dataset}: {short(found['configuration'])}, run {found['run']}"))
        if "without_pictures" in found:
            blocks.append(Text(f"{found['without_pictures']} So there are no frames to show."))
        blocks.append(Sheet([_clip(clip) for clip in found["clips"]]))
    note = (
        f"Test clips drawn by seed {material.params.report.seed}, wrong and right ones in equal "
        f"numbers as far as there are such: {FRAMES} frames evenly over each clip, as the "
        "student's extractor cuts them, what the student says, and how sure it is."
    )
    return Section("clips", "Clips with predictions", [Text(note), *blocks])


def confused(counts: np.ndarray) -> list[tuple[int, int]]:
    """(true class, predicted class) of the CONFUSED most frequent mistakes in (C, C) counts."""
    wrong = counts * (1 - np.eye(len(counts), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSED]
    places = [divmod(int(place), len(counts)) for place in order]
    return [(a, b) for a, b in places if wrong[a, b]]


def _clip(clip: Mapping[str, Any]) -> Clip:
    (predicted, probability), *others = clip["ranked"]
    second = f"{printable(others[0][0])} {100 * others[0][1]:.0f} %" if others else ""
    return Clip(
        printable(clip["id"]), printable(clip["label"]), printable(predicted), probability,
        second, clip.get("picture"), clip.get("width", 0), clip.get("height", 0),
    )  # fmt: skip


def _tightness(cloud: Sequence[tuple[int, float, float]]) -> str:
    """How many points have a neighbour of their own class."""
    places = np.array([point[1:] for point in cloud])
    labels = np.array([point[0] for point in cloud])
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    same = float(np.mean(labels[distances.argmin(1)] == labels))
    return f"The nearest neighbour of {100 * same:.0f} % of the points is of their own class."
