"""Training curves and the dynamic weights, which no figure of the paper shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from amid.core.types import RunRecord
from amid.report import svg
from amid.report.blocks import Heading, Picture, Pictures, Section, Text
from amid.report.data import STUDENT_ALONE, ReportData, short
from amid.studies.base import REFERENCE
from amid.studies.gap_and_similarity import warmup_epochs

STYLES = {STUDENT_ALONE: "s2", "ccl": "s1", REFERENCE: "s0"}  # of the training curves


def training(data: ReportData) -> Section:
    """Losses and validation accuracy of the baseline, CCL and AMID over epochs."""
    note = "Lines are means over seeds, bands one standard deviation. The test split has no curve."
    blocks: list[object] = [Text(note)]
    for dataset, of in data.records.items():
        styles = {name: style for name, style in STYLES.items() if name in of}
        shown = {name: of[name] for name in styles}
        warmup = warmup_epochs({dataset: shown}).get(dataset)
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
                    "discriminator is the loss of D1 and D2; the weighted sum of the other terms "
                    "is AMID's loss.",
                    "note",
                )
            )
    return Section("training", "Training curves", blocks)


def weights(data: ReportData) -> Section:
    """w1, w2, S1, S2 and eta of AMID over the epochs."""
    blocks: list[object] = [
        Text(
            "AMID weights its two discriminators by the similarity of teacher and student (Eq. "
            "14). S1 is the mean cosine of F and T of the same clip, S2 that of different clips of "
            "one class; a higher similarity gives a smaller weight, w1 for D1 and w2 for D2. eta "
            "is the share of samples whose class occurs again in the batch: those that D2 sees. "
            "The accuracies of D1 and D2 are the shares of representations that each takes for "
            "what they are, the teacher's or the student's; one that has learned nothing is at "
            "0.5. All start after the warm-up."
        )
    ]
    for dataset, of in data.records.items():
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
                ("accuracy", (("d1_accuracy", "D1"), ("d2_accuracy", "D2"))),
            )
        ]
        blocks.append(Pictures([panel for panel in panels if panel is not None]))
    return Section("weights", "Dynamic weights", blocks)


def _term(metric: str) -> str:
    """train_l_ft -> L_FT, as the paper writes it."""
    name = metric.removeprefix("train_")
    paper = {"l_ft": "L_FT", "l_fa": "L_FA", "l_adv": "L_adv"}
    return paper.get(name, name.replace("_", " "))


def _panel(
    title: str,
    given: Sequence[tuple[str, str, Sequence[RunRecord], str, float]],
    y_label: str,
    warmup: int | None,
    *,
    legend: bool = False,
) -> Picture | None:
    """Curves of metrics in the histories of runs, or None if no run has any of them.

    given: (name, style, runs, metric, factor). A metric is drawn from its first epoch on.
    """
    lines = {}
    for name, style, runs, metric, factor in given:
        every = range(len(runs[0].history))
        epochs = [n for n in every if all(metric in run.history[n] for run in runs)]
        if epochs:
            values = factor * np.array([[run.history[n][metric] for n in epochs] for run in runs])
            std = values.std(0, ddof=1) if len(runs) > 1 else np.zeros(len(epochs))
            x = [epoch + 1.0 for epoch in epochs]
            lines[name] = svg.Curve(style, x, values.mean(0).tolist(), std.tolist())
    return _picture(title, lines, y_label, warmup, legend=legend) if lines else None


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
