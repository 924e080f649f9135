"""Steps per second of every method side by side, and what its loss terms cost of a step.

All methods train on the same made-up samples in one process on one thread, step by step in turn.
The share of the loss terms is the time of all of them, forward and backward to the representations
and to the method's own parameters, over the time of the whole step, pair by pair.
"""

from __future__ import annotations

import amid.reproducible  # isort: skip  # noqa: F401  pins kernels before torch loads

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from amid import config
from amid.batches import Splits
from amid.engine import Trainer, load_model
from amid.runs.plan import PlannedRun, configured_run
from amid.types import Batch, Representations

STEPS, FEATURES = 8, 128  # of a made-up clip, as avlips's and GRID's video features


def samples(count: int, dim: int, classes: int) -> Splits:
    generator = torch.Generator().manual_seed(0)
    train = Batch(
        torch.randn(count, STEPS, FEATURES, generator=generator),
        {"audio": torch.randn(count, dim, generator=generator)},
        torch.randint(classes, (count,), generator=generator),
        torch.arange(count),
    )
    few = train.take(torch.arange(min(count, 256)))
    return Splits(train, few, few, [], [f"class{n}" for n in range(classes)], {})


def trainer(run: PlannedRun, splits: Splits) -> Trainer:
    teacher = None
    if run.teacher is not None:
        other = Trainer(run.teacher, splits)
        state = other.networks.deployed_state(("teacher",))
        teacher = load_model(other.card(("teacher",)), state)
    made = Trainer(run.spec, splits, teacher)
    made.networks.train()
    made.method.train()
    made.method.begin_epoch(run.spec.training["epochs"] - 1)  # past any warm-up
    return made


def detached(reps: Representations) -> Representations:
    """The representations as leaves; logits as functions of them where a gradient is asked for."""
    leaves = {
        name: getattr(reps, name).detach().requires_grad_()
        for name in ("student", "auxiliary", "teacher", "student_logits", "teacher_logits")
        if getattr(reps, name) is not None
    }
    return replace(reps, **leaves)


def seconds(one: Trainer, rows: torch.Tensor) -> tuple[float, float]:
    """(whole step, its loss terms alone) of one batch."""
    batch = one.data.train.take(rows)
    start = time.perf_counter()
    one.step(batch)
    whole = time.perf_counter() - start
    reps = detached(one.method(one.networks, batch))
    if "student" in one.method.heads:  # CRCD differentiates logits by features
        logits = one.networks.classifier(reps.student)
        reps = replace(reps, student_logits=logits)
    start = time.perf_counter()
    against = one.method.adversary_losses(reps, batch.labels)
    if against:
        sum(against.values()).backward()
    sum(one.method.losses(reps, batch.labels).values()).backward()
    return whole, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=51)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    params = config.load(Path("params.yaml"))
    network = params.network.model_copy(update={"dim": arguments.dim})
    params = params.model_copy(update={"network": network})
    splits = samples(arguments.samples, arguments.dim, arguments.classes)
    names = list(dict.fromkeys([*params.table1, "teacher_alone"]))
    trainers = {
        name: trainer(configured_run(params, "avlips", name, 0, lambda *_: "made up"), splits)
        for name in names
    }
    generator = torch.Generator().manual_seed(1)
    times = np.empty((arguments.repeats, len(names), 2))
    for repeat in range(-3, arguments.repeats):  # the first three warm caches
        rows = torch.randperm(arguments.samples, generator=generator)[: arguments.batch]
        for place, name in enumerate(names):
            times[max(repeat, 0), place] = seconds(trainers[name], rows)
    reference = times[:, names.index("amid"), 0]
    found = {}
    print(
        f"batch {arguments.batch}, D {arguments.dim}, {arguments.samples} samples, one thread; "
        "medians (quartiles)\n\n| method | steps/s | step against AMID's | loss terms, % of a step |"
        "\n|---|---:|---:|---:|"
    )
    for place, name in enumerate(names):
        whole, terms = times[:, place, 0], times[:, place, 1]
        rate = 1 / np.median(whole)
        ratio = np.percentile(whole / reference, (25, 50, 75))
        share = np.percentile(100 * terms / whole, (25, 50, 75))
        found[name] = {"steps_per_second": rate, "against_amid": ratio[1], "terms_share": share[1]}
        print(
            f"| {name} | {rate:.0f} | {ratio[1]:.2f} ({ratio[0]:.2f}-{ratio[2]:.2f}) "
            f"| {share[1]:.0f} ({share[0]:.0f}-{share[2]:.0f}) |"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
