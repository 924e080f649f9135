"""ReportData made by hand: no training, every configuration, any names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from amid.core.types import RunRecord
from amid.report import dag
from amid.report.data import ReportData, configurations
from amid.report.page import page
from amid.report.sections import all_sections
from amid.studies import sensitivity
from stages.report import FILES
from tests.recorded import record
from tests.small import ROOT, project_params
from tests.studies.test_contrastive import records

LABELS = [n % 3 for n in range(30)]
CLASSES = ("bin", "lay", "red")
JPEG = "data:image/jpeg;base64,/9j/4AAQSkZJRgABAQEAYABgAAD/2wBDAP//////////////////////////////////"


def a_run(name: str, seed: int, classes: Sequence[str], fold: int | None = None) -> RunRecord:
    """A student right on 15 to 25 clips, with a teacher where the configuration has one."""
    right = 15 + seed + (4 if name == "amid" else len(name) % 4)
    both = {"student": right, "teacher": right + 3}
    heads = {"student_alone": {"student": right}, "teacher_alone": {"teacher": 26}}.get(name, both)
    history = []
    for epoch in range(4):
        now = {f"validation_{head}": 0.3 + 0.1 * epoch + 0.01 * seed for head in heads}
        now |= {"train_loss": 9.0 - epoch + 0.1 * seed, "train_classification": 3.0 - 0.5 * epoch}
        if len(heads) == 2:
            now["validation_within_class_similarity"] = 0.2 * epoch + 0.01 * seed
        if name == "amid" and epoch:
            now |= {"w1": 0.48, "w2": 0.52, "s1": 0.7, "s2": 0.6, "eta": 0.9, "train_l_adv": 0.6}
            now |= {"d1_accuracy": 0.52, "d2_accuracy": 0.49}
        history.append(now)
    first = next(iter(heads))
    retrieved = {at: dict.fromkeys(("r@1", "r@5", "r@10", "map"), 0.5) for at in ("best", "last")}
    made = record(
        heads, seed, fold=fold, labels=LABELS, history=history, best_epoch=3, selected_on=first,
        classes=list(classes), retrieval={} if first == "teacher" else retrieved,
    )  # fmt: skip
    options = {"warmup_epochs": 1} if name == "amid" else {}
    return replace(made, spec=replace(made.spec, auxiliary=("audio",), options=options))


def exhibits_of(classes: Sequence[str], clip: str = "clip7") -> dict:
    """As read_exhibits gives it."""
    points = [[n % 3, 0.1 * (n % 9), 0.5, 0.5, 0.1 * (n % 7)] for n in range(24)]
    plane = {"run": "0a1b", "seed": 0, "epoch": 4, "perplexity": 8.0, "points": points}
    ranked = [[classes[1], 0.7], [classes[0], 0.2]]
    clips = [
        {"id": clip, "label": classes[n], "ranked": ranked, "picture": JPEG}
        | {"width": 96, "height": 24}
        for n in (0, 1)
    ]
    rows = [{"reason": "no_sound", "modality": "audio", "count": 2}]
    return {
        "plane": plane,
        "samples": {"configuration": "amid", "run": "0a1b", "clips": clips},
        "quarantine": {"clips": 102, "kept": 100, "quarantined": 2, "rows": rows},
    }


def report_data(
    *,
    datasets: Sequence[str] = ("avlips",),
    seeds: Sequence[int] = (0, 1, 2),
    classes: Sequence[str] = CLASSES,
    clip: str = "clip7",
    folds: bool = True,
) -> ReportData:
    params = project_params()
    params = params.model_copy(update={"datasets": list(datasets), "seeds": list(seeds)})
    names = configurations(params)
    places = [("V", "student_alone"), ("A-V", "ccl"), ("A-V", "amid")]
    of_folds = {place: [a_run(place[1], 0, classes, fold) for fold in range(3)] for place in places}
    grid = sensitivity.grid(params)
    of_weights = {place: [a_run("amid", seed, classes) for seed in seeds] for place in grid}
    return ReportData(
        params,
        {d: {n: [a_run(n, s, classes) for s in seeds] for n in names} for d in datasets},
        dict.fromkeys(datasets, of_folds) if folds else {},
        {dataset: of_weights for dataset in datasets},  # noqa: C420
        {dataset: exhibits_of(classes, clip) for dataset in datasets},
        dag.read_stages(ROOT, ["dvc.yaml", *(f"pipelines/{name}/dvc.yaml" for name in FILES)]),
        [("Python", "3.11.2"), ("torch", "2.13.0")],
        pairs=records("avsentences_small", len(seeds)),
    )


@cache
def usual_page() -> str:
    """`made_page()`, made once: to draw its figures takes seconds."""
    return made_page()


def made_page(benchmark: dict | None = None, **changes) -> str:
    return page(all_sections(replace(report_data(**changes), benchmark=benchmark)))
