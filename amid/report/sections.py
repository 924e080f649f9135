"""Run records and exhibits -> the sections of the report, one function each."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from amid import layouts, results, series, studies
from amid.config import Params
from amid.records import FoldRecords, Records, SensitivityRecords
from amid.release import choose
from amid.rendering import p_value
from amid.report import dag, svg
from amid.report.content import (
    Clip,
    Figures,
    Heading,
    Origin,
    Picture,
    Pictures,
    Section,
    Sheet,
    Sources,
    Text,
)
from amid.report.exhibits import EXHIBITS, FRAMES
from amid.report.tables import MARKS, marks, plain_table, tables
from amid.results import REFERENCE, TITLES
from amid.runs.plan import sensitivity_name
from amid.shown import printable
from amid.statistics import mean_std
from amid.sums import check_sum
from amid.types import RunRecord

ALONE = "student_alone"  # what the headline compares with
SHOWN_CLASSES = 60  # of Figure 3; of more those with the largest differences
CONFUSED = 8  # pairs that are named


@dataclass(frozen=True)
class Material:
    """All that the report is made of.

    records: of every configuration that it shows. exhibits: data set -> what `read_exhibits` gives.
    stages: as from dag.read. environment: (what, which) of the machine's software.
    """

    params: Params
    records: Records
    folds: FoldRecords
    sensitivity: SensitivityRecords
    exhibits: Mapping[str, dict[str, Any]]
    stages: Mapping[str, dag.Stage]
    environment: Sequence[tuple[str, str]]

    def rows(self, names: Sequence[str]) -> Records:
        """The records of some configurations, in the order of `names`."""
        return {
            dataset: {name: runs[name] for name in names} for dataset, runs in self.records.items()
        }


def configurations(params: Params) -> list[str]:
    """Those whose records the report needs, as far as a section trains them."""
    trained = {name for names in params.sections.values() for name in names}
    lists = (
        params.table1, params.table4, params.table5, params.figure3, params.figure4,
        params.figure5, params.student.configurations,
    )  # fmt: skip
    wanted = [ALONE, REFERENCE, *(name for names in lists for name in names)]
    listed = {name for names in lists for name in names}  # must be there, or an error says so
    return [name for name in dict.fromkeys(wanted) if name in trained or name in listed]


def read_exhibits(folder: Path) -> dict[str, Any]:
    """What `amid.report.exhibits` wrote to a folder, pictures as data URLs."""
    path = folder / EXHIBITS
    check_sum(path)
    found = json.loads(path.read_text(encoding="utf-8"))
    for clip in found["samples"].get("clips", []):
        if "picture" in clip:
            picture = folder / clip["picture"]
            check_sum(picture)
            data = base64.b64encode(picture.read_bytes()).decode()
            clip["picture"] = f"data:image/jpeg;base64,{data}"
    return found


def all_sections(material: Material) -> list[Section]:
    """In the order of the page."""
    return [
        headline(material),
        paper_tables(material),
        paper_figures(material),
        training(material),
        weights(material),
        quarantine(material),
        plane(material),
        confusion(material),
        clips(material),
        pipeline(material),
        environment(material),
    ]


def headline(material: Material) -> Section:
    """The student with and without distillation, and whether the gain is more than noise."""
    blocks: list[object] = []
    frame = results.table1(material.rows(material.params.table1))
    for dataset, of in material.records.items():
        if ALONE not in of or REFERENCE not in of:
            blocks.append(Text("No section trains both the student alone and AMID."))
            continue
        alone, taught = of[ALONE], of[REFERENCE]
        gains = [
            100 * (b.accuracy("student") - a.accuracy("student"))
            for a, b in zip(alone, taught, strict=True)
        ]
        gain, before, after = mean_std(gains), _top1(alone, "student"), _top1(taught, "student")
        here = (frame["dataset"] == dataset) & (frame["configuration"] == ALONE)
        tests = frame[here].to_dict("records")
        p = {name: tests[0][f"p_{name}_holm"] if tests else None for name in ("seeds", "clips")}
        blocks.append(Text(_sentence(dataset, taught[0], before, after, gain, p), strong=True))
        blocks.append(
            Figures(
                [
                    (_spread(before), "student alone, test Top-1 (%)"),
                    (_spread(after), "student taught by AMID"),
                    (f"{gain.mean:+.1f}".replace("-", "−"), f"points gained, ± {_std(gain)}"),
                    (_p(p["seeds"]), f"p over {_count(len(taught), 'seed')}{_of(p['seeds'])}"),
                    (_p(p["clips"]), f"p over {len(taught[0].labels)} clips{_of(p['clips'])}"),
                ]
            )
        )
        bars = [
            svg.Bar("student alone", "s2", *before),
            svg.Bar("student taught by AMID", "s0", *after),
        ]
        teacher = _top1(taught, "teacher")
        if teacher.mean is not None:
            senses = " and ".join((taught[0].spec.target, *taught[0].spec.auxiliary))
            bars.append(svg.Bar(f"its teacher, who has {senses}", "s3", *teacher))
        alt = "Bars: " + ", ".join(f"{bar.name} {bar.mean:.1f} %" for bar in bars) + "."
        blocks.append(
            Pictures(
                [Picture(svg.bars(bars, "test Top-1 (%)"), alt, f"{dataset}: whiskers are one "
                 "standard deviation over seeds")]
            )
        )  # fmt: skip
        blocks.append(_sources(material, dataset, {ALONE: alone, REFERENCE: taught}))
    blocks.append(
        Text(
            "Mean ± sample standard deviation over seeds, at the epoch that is best on validation; "
            "the test split takes no part in the choice. p: two-sided paired t tests, with Holm's "
            "correction over the rows of Table 1. The paper reports 66.7 and 73.8 % on UCF51, "
            "other data and other networks."
        )
    )
    return Section("result", "The result", blocks)


def paper_tables(material: Material) -> Section:
    """Tables 1 to 6, the paper's numbers in their last columns."""
    params, rows = material.params, material.rows
    table6, noise = _sensitivity(material)
    parts = (
        (layouts.TABLE1, results.table1(rows(params.table1)), layouts.BASELINE, "student", params.table1),
        (layouts.TABLE2, results.table2(rows(params.table1)), layouts.BASELINE, "r@1", params.table1),
        (layouts.TABLE3, results.table3(results.per_fold(material.folds)), layouts.BASELINE, "wa", None),
        (layouts.TABLE4, results.table4(rows(params.table4)), TITLES, "student", params.table4),
        (layouts.TABLE5, results.table5(rows(params.table5)), TITLES, "student", params.table5),
        (layouts.TABLE6, table6, {}, None, None),
        (layouts.SENSITIVITY, noise, {}, None, None),
    )  # fmt: skip
    blocks: list[object] = [
        Text(
            "A header sorts its column. Marks behind a number stand for the first p of its row, "
            f"those behind a p for itself: {MARKS}"
        )
    ]
    for layout, frame, titles, marked, names in parts:
        blocks.append(Heading(layout.title))
        sources: dict[str, Sources] = {}
        if names is not None:
            sources = {
                dataset: _sources(material, dataset, of) for dataset, of in rows(names).items()
            }
        elif layout is layouts.TABLE3:
            sources = {dataset: _of_folds(material, dataset) for dataset in material.folds}
        elif layout is layouts.TABLE6:
            sources = {dataset: _of_weights(material, dataset) for dataset in material.sensitivity}
        if frame.empty:
            blocks.append(Text(layout.empty.replace("`", "")))
        blocks += tables(frame, layout, titles, sources, marked=marked)
        blocks.append(Text(layout.note.replace("`", "")))
    return Section("tables", "Tables 1 to 6", blocks)


def paper_figures(material: Material) -> Section:
    """Figures 3 to 6, redrawn from the same frames as their PNG."""
    params, rows = material.params, material.rows
    classes = series.class_wise(rows(params.figure3))
    first, second = params.figure3
    blocks: list[object] = [Heading("Figure 3: accuracy class by class")]
    names = (_short(first), _short(second))
    panels = [
        _figure3(dataset, panel, first, second)
        for dataset, panel in classes.groupby("dataset", sort=False)
    ]
    blocks.append(Pictures(panels, [("dot s0", names[0]), ("hollow s1", names[1])]))
    for number, names, curves, y_label in (
        (4, params.figure4, series.gaps(rows(params.figure4)), "teacher − student (points)"),
        (5, params.figure5, series.similarities(rows(params.figure5)), "mean cosine in a class"),
    ):
        title = ("gap of teacher and student", "likeness of teacher and student")[number - 4]
        blocks.append(Heading(f"Figure {number}: {title} over epochs"))
        warmup = series.warmup_epochs(rows(names))
        panels = [
            _over_epochs(dataset, panel, y_label, warmup.get(dataset))
            for dataset, panel in curves.groupby("dataset", sort=False)
        ]
        blocks.append(
            Pictures(
                panels,
                [(f"line s{n}", _short(name)) for n, name in enumerate(names)],
                "Validation split; bands are one standard deviation over seeds.",
            )
        )
    blocks.append(Heading("Figure 6: sensitivity to the weights"))
    table6, _ = _sensitivity(material)
    panels = [
        picture
        for dataset, of in table6.groupby("dataset", sort=False)
        for picture in _figure6(dataset, of)
    ]
    legend = [("dot s0", "student"), ("dot s3", "teacher"), ("default", "default")]
    blocks.append(Pictures(panels, legend, "Whiskers are one standard deviation over seeds."))
    return Section("figures", "Figures 3 to 6", blocks)


def training(material: Material) -> Section:
    """Losses and validation accuracy over epochs, of the baseline, CCL and AMID."""
    blocks: list[object] = []
    for dataset, of in material.records.items():
        shown = [name for name in (ALONE, "ccl", REFERENCE) if name in of]
        styles = {name: {ALONE: "s2", "ccl": "s1", REFERENCE: "s0"}[name] for name in shown}
        warmup = series.warmup_epochs({dataset: {n: of[n] for n in shown}}).get(dataset)
        panels = [
            _panel(
                "Validation accuracy of the student",
                [(name, styles[name], of[name], "validation_student", 100.0) for name in shown],
                "validation Top-1 (%)",
                warmup,
            ),
            *(
                _panel(
                    f"Training loss, {_short(name)}",
                    [(_short(name), styles[name], of[name], "train_loss", 1.0)],
                    "loss, mean of an epoch",
                    warmup if name == REFERENCE else None,
                )
                for name in shown
            ),
        ]
        legend = [(f"line {style}", _short(name)) for name, style in styles.items()]
        blocks.append(Heading(f"{dataset}: accuracy and loss"))
        blocks.append(Pictures([p for p in panels if p], legend))
        if REFERENCE in of:
            terms = [
                name
                for name in of[REFERENCE][0].history[-1]
                if name.startswith("train_") and name != "train_loss"
            ]
            panels = [
                _panel(
                    f"AMID's term {name.removeprefix('train_')}",
                    [(name, "s0", of[REFERENCE], name, 1.0)],
                    "weighted term",
                    warmup,
                )
                for name in terms
            ]
            blocks.append(Heading(f"{dataset}: AMID's terms"))
            blocks.append(
                Pictures(
                    [p for p in panels if p],
                    note="train_discriminator is what the discriminators minimise; the others sum "
                    "up to the loss. Terms of the second phase begin after the warm-up.".replace(
                        "train_", ""
                    ),
                )
            )
    note = "Lines are means over seeds, bands one standard deviation. The test split has no curve."
    return Section("training", "Training curves", [Text(note), *blocks])


def weights(material: Material) -> Section:
    """w1, w2, S1, S2 and eta of AMID over the epochs."""
    blocks: list[object] = [
        Text(
            "AMID weighs its two discriminators by how well each is fooled (Eq. 14): S1 and S2 are "
            "the smoothed shares of the student's representations that D1 and D2 take for the "
            "teacher's, w1 and w2 the weights that follow from them."
        )
    ]
    for dataset, of in material.records.items():
        runs = of.get(REFERENCE, [])
        if not runs or "w1" not in runs[0].history[-1]:
            blocks.append(Text(f"{dataset}: no run has weights of its discriminators."))
            continue
        warmup = series.warmup_epochs({dataset: {REFERENCE: runs}}).get(dataset)
        groups = (("Weights w1 and w2", ("w1", "w2")), ("S1, S2 and eta", ("s1", "s2", "eta")))
        panels = []
        for title, names in groups:
            given = [
                (name, f"s{n}", runs, name, 1.0)
                for n, name in enumerate(names)
                if name in runs[0].history[-1]
            ]
            panel = _panel(f"{dataset}: {title}", given, "share", warmup)
            if panel:
                panels.append(panel)
        blocks.append(Pictures(panels, [("line s0", "1"), ("line s1", "2"), ("line s2", "eta")]))
    return Section("weights", "Dynamic weights", blocks)


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
        blocks.append(Text(note))
    else:
        blocks.append(Text("Every clip could be read: nothing was set aside."))
    where = "data/<data set>/quarantine.parquet lists them clip by clip."
    return Section("quarantine", "Clips set aside", [*blocks, Text(where)])


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
        titles = {
            "T, the student's": [(label, x, y) for label, x, y, _, _ in points],
            "F, the teacher's": [(label, x, y) for label, _, _, x, y in points],
        }
        pictures = [
            Picture(
                svg.scatter(cloud, classes, hollow=title[0] == "F"),
                f"{len(cloud)} points of {len({p[0] for p in cloud})} classes, {title} "
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
                f"that both pictures have the same axes; perplexity {found['perplexity']:g}."
            )
        )
    note = (
        "Read it with care: t-SNE keeps neighbours together, but how far apart two groups lie, how "
        "large they are and which way is up means nothing. A class is named at its middle."
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
            f"{dataset}: rows are the true classes, columns what the student said; the darker, the "
            "larger the share of the row"
        )
        blocks.append(
            Text(
                f"{dataset}: the student that is best on validation of all in Table 1's section is "
                f"{_short(name)}, seed {run.spec.seed}, run {run.key}, epoch {run.best_epoch + 1}; "
                f"{right} of {len(run.labels)} test clips are right "
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
        blocks.append(_sources(material, dataset, {name: [run]}))
    return Section("confusion", "What the best student confuses", blocks)


def confused(counts: np.ndarray) -> list[tuple[int, int]]:
    """(true class, predicted class) of the CONFUSED most frequent mistakes in (C, C) counts."""
    wrong = counts * (1 - np.eye(len(counts), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSED]
    places = [divmod(int(place), len(counts)) for place in order]
    return [(a, b) for a, b in places if wrong[a, b]]


def clips(material: Material) -> Section:
    """Some test clips, wrong and right ones, with what the best student says of them."""
    blocks: list[object] = []
    for dataset, shown in material.exhibits.items():
        found = shown["samples"]
        if "missing" in found:
            blocks.append(Text(f"{dataset}: {found['missing']}"))
            continue
        blocks.append(Heading(f"{dataset}: {_short(found['configuration'])}, run {found['run']}"))
        if "without_pictures" in found:
            blocks.append(Text(f"{found['without_pictures']} So there are no frames to show."))
        blocks.append(Sheet([_clip(clip) for clip in found["clips"]]))
    note = (
        f"Test clips drawn by seed {material.params.report.seed}, wrong and right ones in equal "
        f"numbers as far as there are such: {FRAMES} frames evenly over each clip, as the student's "
        "extractor cuts them, what the student says, and how sure it is."
    )
    return Section("clips", "Clips with predictions", [Text(note), *blocks])


def pipeline(material: Material) -> Section:
    """The DAG, a node a group of runs."""
    ends = [name for name, stage in material.stages.items() if stage.file == "dvc.yaml"]
    picture, alt = dag.drawn(material.stages, ends)
    caption = "A sheet behind a node: there is one for every data set. An arrow that follows from "
    caption += "others is left out."
    rows = [
        [name, stage.desc, stage.command(material.params.datasets[0])]
        for name, stage in material.stages.items()
    ]
    return Section(
        "pipeline",
        "The pipeline",
        [
            Text("Everything from raw clips to this page is one command, dvc repro."),
            Pictures([Picture(picture, alt, caption, wide=True)]),
            plain_table("What each stage makes", ("stage", "makes", "command"), rows),
        ],
    )


def environment(material: Material) -> Section:
    """What the numbers were made with; nothing that names a machine or a person."""
    note = (
        "Another processor or another torch may change the last bits of a sum, and a training "
        "takes another path from there: then the numbers differ within their deviations."
    )
    rows = [list(pair) for pair in material.environment]
    table = plain_table("Software and instruction set", ("what", "which"), rows)
    return Section("environment", "Environment", [table, Text(note)])


def _sources(material: Material, dataset: str, of: Mapping[str, Sequence[RunRecord]]) -> Sources:
    """Where the numbers of some configurations come from."""
    section_of = {n: section for section, names in material.params.sections.items() for n in names}
    return Sources(
        dataset,
        [
            Origin(
                _short(name),
                [(f"seed {run.spec.seed}", run.key, run.best_epoch + 1) for run in runs],
                material.stages[section_of[name]].command(dataset),
            )
            for name, runs in of.items()
        ],
    )


def _of_folds(material: Material, dataset: str) -> Sources:
    command = material.stages["folds"].command(dataset)
    return Sources(
        dataset,
        [
            Origin(
                f"{setup}, {_short(name)}",
                [
                    (f"fold {run.spec.fold}, seed {run.spec.seed}", run.key, run.best_epoch + 1)
                    for run in runs
                ],
                command,
            )
            for (setup, name), runs in material.folds[dataset].items()
        ],
    )


def _of_weights(material: Material, dataset: str) -> Sources:
    command = material.stages["sensitivity"].command(dataset)
    return Sources(
        dataset,
        [
            Origin(
                sensitivity_name(weight, value).replace("_", " = "),
                [(f"seed {run.spec.seed}", run.key, run.best_epoch + 1) for run in runs],
                command,
            )
            for (weight, value), runs in material.sensitivity[dataset].items()
        ],
    )


def _sensitivity(material: Material) -> tuple[pd.DataFrame, pd.DataFrame]:
    params = material.params
    options = params.resolved(params.table6.configuration).options
    defaults = {name: getattr(options, name) for name in ("alpha", "beta", "gamma")}
    table = results.table6(material.sensitivity, defaults)
    return table, studies.sensitivity(material.sensitivity, params)


def _figure3(dataset: str, panel: pd.DataFrame, first: str, second: str) -> Picture:
    whole = len(panel)
    if whole > SHOWN_CLASSES:  # the order is that of the differences: both ends
        half = SHOWN_CLASSES // 2
        panel = pd.concat([panel.head(half), panel.tail(half)])
    pairs = [
        svg.Pair(printable(str(row["class"])), row[first], row[second])
        for row in panel.to_dict("records")
    ]
    best, worst = panel.iloc[0], panel.iloc[-1]
    better = int((panel["difference"] > 0).sum())
    alt = (
        f"{_short(first)} is ahead of {_short(second)} in {better} of {len(panel)} classes; most "
        f"in {printable(str(best['class']))} ({best['difference']:+.1f} points), least in "
        f"{printable(str(worst['class']))} ({worst['difference']:+.1f})."
    )
    caption = f"{dataset}: classes by falling difference, mean over seeds"
    if whole > len(panel):
        caption += f"; of {whole} classes the {len(panel)} with the largest differences"
    return Picture(svg.pairs(pairs, "student, test Top-1 (%)"), alt, caption)


def _over_epochs(dataset: str, panel: pd.DataFrame, y_label: str, warmup: int | None) -> Picture:
    drawn, words = [], []
    for number, (name, of) in enumerate(panel.groupby("configuration", sort=False)):
        columns = (list(map(float, of[column])) for column in ("epoch", "value", "std"))
        curve = svg.Curve(f"s{number}", *columns)
        drawn.append(curve)
        words.append(f"{_short(name)} goes from {curve.y[0]:.2f} to {curve.y[-1]:.2f}")
    line = None if warmup is None else warmup + 0.5
    picture = svg.curves(drawn, "epoch", y_label, line_at=line)
    return Picture(picture, f"Curves over epochs: {'; '.join(words)}.", dataset)


def _figure6(dataset: str, of: pd.DataFrame) -> list[Picture]:
    heads = [h for h in ("student", "teacher") if of[h].notna().any()]
    edges = [
        edge
        for head in heads
        for mean, std in zip(of[head], of[f"{head}_std"].astype(float).fillna(0), strict=True)
        if not pd.isna(mean)
        for edge in (mean - std, mean + std)
    ]
    ticks = svg.nice(min(edges), max(edges))  # one scale for all weights
    pictures = []
    for weight, rows in of.groupby("weight", sort=False):
        dots = [
            svg.Dot(
                style, row["value"], row[head],
                0.0 if pd.isna(row[f"{head}_std"]) else row[f"{head}_std"],
                ringed=bool(row["default"]) and head == "student",
            )
            for head, style in zip(heads, ("s0", "s3"), strict=False)
            for row in rows.to_dict("records")
            if not pd.isna(row[head])
        ]  # fmt: skip
        best = rows.loc[rows["student"].idxmax()]
        alt = (
            f"Student's accuracy at {len(rows)} values of {weight}: from "
            f"{rows['student'].min():.1f} to {rows['student'].max():.1f} %, best at "
            f"{best['value']:g}."
        )
        letter = {"alpha": "α", "beta": "β", "gamma": "γ"}[weight]
        picture = svg.dots(dots, letter, "test Top-1 (%)", ticks)
        pictures.append(Picture(picture, alt, f"{dataset}: {weight}"))
    return pictures


def _panel(
    title: str,
    given: Sequence[tuple[str, str, Sequence[RunRecord], str, float]],
    y_label: str,
    warmup: int | None,
) -> Picture | None:
    """Curves of numbers in the records' histories: (name, style, runs, metric, factor); None where
    no run has one. A metric that begins later is drawn from there on."""
    drawn, words = [], []
    for name, style, runs, metric, factor in given:
        epochs = [
            n for n in range(len(runs[0].history)) if all(metric in r.history[n] for r in runs)
        ]
        if not epochs:
            continue
        values = factor * np.array([[run.history[n][metric] for n in epochs] for run in runs])
        std = values.std(0, ddof=1) if len(runs) > 1 else np.zeros(len(epochs))
        mean = values.mean(0)
        x = [n + 1.0 for n in epochs]
        drawn.append(svg.Curve(style, x, mean.tolist(), std.tolist()))
        words.append(f"{_short(name)} from {mean[0]:.2f} to {mean[-1]:.2f}")
    if not drawn:
        return None
    line = None if warmup is None else warmup + 0.5
    picture = svg.curves(drawn, "epoch", y_label, line_at=line)
    return Picture(picture, f"Curves over epochs: {'; '.join(words)}.", title)


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


def _sentence(dataset, run: RunRecord, before, after, gain, p: Mapping[str, float | None]) -> str:
    """The result in plain words."""
    verb = "gains" if gain.mean >= 0 else "loses"
    told = (
        f"On {dataset}, a student that sees only the {run.spec.target} recognises "
        f"{after.mean:.1f} % of the test clips after learning from a teacher who also has "
        f"{' and '.join(run.spec.auxiliary)}; trained alone it recognises {before.mean:.1f} %. "
        f"It {verb} {abs(gain.mean):.1f} points"
    )
    sure = [name for name in ("seeds", "clips") if marks(p[name])]
    if p["seeds"] is None or pd.isna(p["seeds"]):
        return f"{told}; one seed cannot say how much of that is chance."
    if len(sure) == 2:
        return f"{told}, more than chance explains, over seeds and over clips."
    if sure == ["clips"]:
        return f"{told}: clear over the test clips, but few seeds alone would not show it."
    return f"{told}, no more than chance may explain."


def _top1(runs: Sequence[RunRecord], head: str):
    values = [run.accuracy(head) for run in runs]
    return mean_std([None if value is None else 100 * value for value in values])


def _spread(spread) -> str:
    return f"{spread.mean:.1f} ± {_std(spread)}"


def _std(spread) -> str:
    return "-" if spread.std is None else f"{spread.std:.1f}"


def _p(p: float | None) -> str:
    return p_value({"p": p}, "p", False)


def _of(p: float | None) -> str:
    stars = marks(p)
    return f" {stars}" if stars else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _short(name: str) -> str:
    return TITLES.get(name, printable(name)).replace(" (Eq. 17)", "")
