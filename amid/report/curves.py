"""Figures 3 to 6, training curves and dynamic weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from amid import series
from amid.records import Records
from amid.report import svg
from amid.report.content import Heading, Picture, Pictures, Section, Text
from amid.report.findings import sensitivity
from amid.report.material import ALONE, Material, short
from amid.results import REFERENCE
from amid.shown import printable
from amid.types import RunRecord

SHOWN_CLASSES = 60  # of Figure 3; of more those with the largest differences
STYLES = {ALONE: "s2", "ccl": "s1", REFERENCE: "s0"}  # of the training curves


def paper_figures(material: Material) -> Section:
    """Figures 3 to 6, drawn from the same frames as their PNG."""
    params, rows = material.params, material.rows
    tested = material.tested()
    untested = [Text(f"{dataset}: there are no test clips.") for dataset in material.untested()]
    blocks: list[object] = [Heading("Figure 3: accuracy class by class"), *untested]
    if pairs := tested.rows(params.figure3):
        first, second = params.figure3
        panels = [
            picture
            for dataset, panel in series.class_wise(pairs).groupby("dataset", sort=False)
            for picture in _figure3(dataset, panel, first, second)
        ]
        legend = [("dot s0", short(first)), ("hollow s1", short(second))]
        note = "Classes by falling difference; means over seeds at the epoch chosen on validation."
        blocks.append(Pictures(panels, legend, note))
    blocks.append(Heading("Figures 4 and 5: teacher and student over the epochs"))
    panels = [
        _over_epochs(f"{what}, {dataset}", curve_of(records), y_label, records)
        for dataset in params.datasets
        for names, curve_of, what, y_label in (
            (params.figure4, series.gaps, "Figure 4: gap", "teacher − student (points)"),
            (params.figure5, series.similarities, "Figure 5: likeness", "cosine within a class"),
        )
        for records in [{dataset: rows(names)[dataset]}]
    ]
    blocks.append(
        Pictures(panels, note="Validation split; bands are one standard deviation over seeds.")
    )
    blocks += [Heading("Figure 6: sensitivity to the weights"), *untested]
    if tested.sensitivity:
        table6, _ = sensitivity(tested)
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
    note = "Lines are means over seeds, bands one standard deviation. The test split has no curve."
    blocks: list[object] = [Text(note)]
    for dataset, of in material.records.items():
        styles = {name: style for name, style in STYLES.items() if name in of}
        shown = {name: of[name] for name in styles}
        warmup = series.warmup_epochs({dataset: shown}).get(dataset)
        accuracy = [
            _panel(
                f"{dataset}: {head}, validation",
                [
                    (short(name), styles[name], runs, f"validation_{head}", 100.0)
                    for name, runs in shown.items()
                ],
                "validation Top-1 (%)",
                warmup,
            )
            for head in ("student", "teacher")
        ]
        losses = [
            _panel(
                f"{dataset}: loss, {short(name)}",
                [(short(name), styles[name], runs, "train_loss", 1.0)],
                "training loss",
                warmup if name == REFERENCE else None,
            )
            for name, runs in shown.items()
        ]
        runs = of.get(REFERENCE, [])
        terms = [
            _panel(
                f"{dataset}: {_term(name)}",
                [(_term(name), styles[REFERENCE], runs, name, 1.0)],
                "mean of an epoch",
                warmup,
            )
            for name in (runs[0].history[-1] if runs else ())
            if name.startswith("train_") and name != "train_loss"
        ]
        legend = [(f"line {style}", short(name)) for name, style in styles.items()]
        for title, panels, shared in (
            ("accuracy", accuracy, legend),
            ("losses", losses, []),
            ("AMID's terms", terms, []),
        ):
            if drawn := [panel for panel in panels if panel is not None]:
                blocks += [Heading(f"{dataset}: {title}"), Pictures(drawn, shared)]
        if terms:
            blocks.append(
                Text(
                    "discriminator is what D1 and D2 themselves minimise; the other terms, "
                    "weighted, sum up to AMID's loss.",
                    "note",
                )
            )
    return Section("training", "Training curves", blocks)


def weights(material: Material) -> Section:
    """w1, w2, S1, S2 and eta of AMID over the epochs."""
    blocks: list[object] = [
        Text(
            "AMID weighs its two discriminators by how alike teacher and student are already (Eq. "
            "14). S1 is the mean cosine of F and T of the same clip, S2 that of different clips of "
            "one class; the more alike, the smaller the weight, w1 for D1 and w2 for D2. eta is "
            "the share of samples that have another one of their class in the batch, which D2 "
            "sees. All begin when the warm-up ends."
        )
    ]
    for dataset, of in material.records.items():
        runs = of.get(REFERENCE, [])
        if not runs or "w1" not in runs[0].history[-1]:
            blocks.append(Text(f"{dataset}: no run has weights of its discriminators."))
            continue
        panels = [
            _panel(
                f"{dataset}: {', '.join(shown for _, shown in names)}",
                [(shown, f"s{n}", runs, name, 1.0) for n, (name, shown) in enumerate(names)],
                y_label,
                None,
                legend=True,
            )
            for y_label, names in (
                ("weight", (("w1", "w1"), ("w2", "w2"))),
                ("mean cosine", (("s1", "S1"), ("s2", "S2"))),
                ("share of the batch", (("eta", "eta"),)),
            )
        ]
        blocks.append(Pictures([panel for panel in panels if panel is not None]))
    return Section("weights", "Dynamic weights", blocks)


def _term(metric: str) -> str:
    """train_l_ft -> L_FT, as the paper writes it."""
    name = metric.removeprefix("train_")
    paper = {"l_ft": "L_FT", "l_fa": "L_FA", "l_adv": "L_adv"}
    return paper.get(name, name.replace("_", " "))


def _figure3(dataset: str, panel: pd.DataFrame, first: str, second: str) -> list[Picture]:
    """In two halves side by side where there are many classes."""
    whole = len(panel)
    if whole > SHOWN_CLASSES:  # the order is that of the differences: both ends
        half = SHOWN_CLASSES // 2
        panel = pd.concat([panel.head(half), panel.tail(half)])
    pairs = [
        svg.Pair(printable(str(row["class"])), row[first], row[second])
        for row in panel.to_dict("records")
    ]
    values = [value for pair in pairs for value in pair[1:]]
    ticks = svg.nice(min(values), max(values))
    of = f" of {whole}, those with the largest differences" if whole > len(pairs) else ""
    half = len(pairs) if len(pairs) <= 12 else -(-len(pairs) // 2)
    pictures = []
    for start in range(0, len(pairs), half):
        part = pairs[start : start + half]
        ahead = sum(pair.first > pair.second for pair in part)
        told = ", ".join(f"{pair.name} {pair.first - pair.second:+.1f}" for pair in part)
        pictures.append(
            Picture(
                svg.pairs(part, "student, test Top-1 (%)", ticks),
                f"{short(first)} is ahead of {short(second)} in {ahead} of {len(part)} classes. "
                f"Differences in points: {told}.",
                f"{dataset}: classes {start + 1} to {start + len(part)}{of}",
            )
        )
    return pictures


def _over_epochs(title: str, table: pd.DataFrame, y_label: str, records: Records) -> Picture:
    """table: of one data set, as from series.over_epochs."""
    warmup = next(iter(series.warmup_epochs(records).values()), None)
    curves = {}
    for number, (name, of) in enumerate(table.groupby("configuration", sort=False)):
        columns = (list(map(float, of[column])) for column in ("epoch", "value", "std"))
        curves[short(name)] = svg.Curve(f"s{number}", *columns)
    return _picture(title, curves, y_label, warmup, legend=True)


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
        told = [
            f"{head}'s from {rows[head].min():.1f} to {rows[head].max():.1f} %, best at "
            f"{rows.loc[rows[head].idxmax(), 'value']:g}"
            for head in heads
            if rows[head].notna().any()
        ]
        alt = f"Accuracy at {len(rows)} values of {weight}: the {'; the '.join(told)}."
        letter = {"alpha": "α", "beta": "β", "gamma": "γ"}[weight]
        picture = svg.dots(dots, letter, "test Top-1 (%)", ticks)
        pictures.append(Picture(picture, alt, f"{dataset}: {weight}"))
    return pictures


def _panel(
    title: str,
    given: Sequence[tuple[str, str, Sequence[RunRecord], str, float]],
    y_label: str,
    warmup: int | None,
    *,
    legend: bool = False,
) -> Picture | None:
    """Curves of numbers in the records' histories: (name, style, runs, metric, factor); None where
    no run has one. A metric that begins later is drawn from there on."""
    curves = {}
    for name, style, runs, metric, factor in given:
        every = range(len(runs[0].history))
        epochs = [n for n in every if all(metric in run.history[n] for run in runs)]
        if epochs:
            values = factor * np.array([[run.history[n][metric] for n in epochs] for run in runs])
            std = values.std(0, ddof=1) if len(runs) > 1 else np.zeros(len(epochs))
            x = [epoch + 1.0 for epoch in epochs]
            curves[name] = svg.Curve(style, x, values.mean(0).tolist(), std.tolist())
    return _picture(title, curves, y_label, warmup, legend=legend) if curves else None


def _picture(
    title: str,
    curves: Mapping[str, svg.Curve],
    y_label: str,
    warmup: int | None,
    *,
    legend: bool,
) -> Picture:
    told = "; ".join(f"{name} from {c.y[0]:.2f} to {c.y[-1]:.2f}" for name, c in curves.items())
    line = None if warmup is None else warmup + 0.5
    epochs = next(iter(curves.values())).x
    return Picture(
        svg.curves(list(curves.values()), "epoch", y_label, line_at=line),
        f"{y_label} over the epochs {epochs[0]:g} to {epochs[-1]:g}: {told}.",
        title,
        [(f"line {curve.style}", name) for name, curve in curves.items()] if legend else [],
    )
