"""Steps per second of every method side by side, and what its contrastive term costs of a step.

All methods train on the same made-up samples in one process on one thread, step by step in turn.
The share of the contrastive term is its own time, forward and backward to the representations that
it compares, over the time of the whole step on the same batch. CRD and CRCD draw their negatives in
it; the linear heads of CRD, CRCD and GMC before it belong to the rest of the step.
"""

from __future__ import annotations

import amid.core.reproducible  # isort: skip  # noqa: F401  pins kernels before torch loads

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from amid.core.reproducible import use_deterministic_kernels
from amid.core.types import Batch, Representations
from amid.data.splits import Splits
from amid.losses.ccl import pair_contrastive
from amid.losses.cosine import unit_rows
from amid.losses.gmc import joint_contrastive
from amid.losses.mutual_information import class_aware_nce
from amid.methods.amid import Amid
from amid.methods.ccl import Ccl
from amid.methods.crcd import Crcd
from amid.methods.crd import Crd
from amid.methods.gmc import Gmc
from amid.networks.crossmodal import deployed
from amid.runs.plan import PlannedRun, configured_run
from amid.studies import load_params
from amid.training.model_file import load_model, model_card
from amid.training.trainer import Trainer

STEPS, FEATURES = 8, 128  # of a made-up clip, as avlips's and GRID's video features


Term = tuple[list[Tensor], Callable[..., Tensor]]


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
        state = deployed(other.networks.state_dict(), ("teacher",))
        teacher = load_model(model_card(other, ("teacher",)), state)
    use_deterministic_kernels()
    made = Trainer(run.spec, splits, teacher)
    made.networks.train()
    made.method.train()
    made.method.begin_epoch(run.spec.training["epochs"] - 1)  # past any warm-up
    return made


def contrastive(one: Trainer, reps: Representations, labels: Tensor) -> Term | None:
    """What the method's contrastive term starts from, and the term; None for methods without one.

    It starts from the representations that it compares: linear heads before it are networks.
    """
    method = one.method
    tau = getattr(method, "options", {}).get("temperature")
    student, teacher = reps.student, reps.teacher
    if isinstance(method, Amid):

        def term(f: Tensor, t: Tensor, a: Tensor) -> Tensor:
            return class_aware_nce(f, t, labels, tau) + class_aware_nce(f, a, labels, tau)

        return [teacher, student, reps.auxiliary], term
    if isinstance(method, Gmc):
        audio = method.projections["audio"](reps.modalities["audio"])
        start = [unit_rows(teacher), unit_rows(student), unit_rows(audio)]
        return start, lambda joint, v, a: joint_contrastive(joint, [v, a], tau)
    if isinstance(method, Ccl):  # whose teacher is the composition, outside of training

        def term(v: Tensor, m: Tensor, a: Tensor) -> Tensor:
            return sum(pair_contrastive(x, y, labels, tau) for x, y in ((v, m), (v, a), (m, a)))

        return [student, teacher, reps.modalities["audio"]], term
    if isinstance(method, Crd | Crcd):
        both_sides = method.contrasts if isinstance(method, Crd) else method.relations
        start = list(method.memory(reps))
        return start, lambda t, f: sum(both_sides(t, f, reps.samples, labels).values())
    return None


def seconds(one: Trainer, rows: Tensor) -> tuple[float, float]:
    """(whole step, its contrastive term alone) of one batch."""
    batch = one.data.train.take(rows)
    start = time.perf_counter()
    one.step(batch)
    whole = time.perf_counter() - start
    with torch.no_grad():
        one.method.eval()  # CCL shows its composition only then
        reps = one.method(one.networks, batch)
        one.method.train()
        found = contrastive(one, reps, batch.labels)
    if found is None:
        return whole, 0.0
    inputs, term = found
    inputs = [x.clone().requires_grad_() for x in inputs]
    start = time.perf_counter()
    term(*inputs).backward()
    return whole, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=51)
    parser.add_argument("--also", nargs="*", default=[], metavar="CONFIGURATION")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    params = load_params(Path("params.yaml"))
    network = params.network.model_copy(update={"dim": arguments.dim})
    params = params.model_copy(update={"network": network})
    splits = samples(arguments.samples, arguments.dim, arguments.classes)
    names = list(dict.fromkeys([*params.table1, "teacher_alone", *arguments.also]))
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
        "medians (quartiles)\n\n| method | steps/s | step against AMID's "
        "| contrastive term, % of its step |\n|---|---:|---:|---:|"
    )
    for place, name in enumerate(names):
        whole, terms = times[:, place, 0], times[:, place, 1]
        rate = 1 / np.median(whole)
        ratio = np.percentile(whole / reference, (25, 50, 75))
        share = np.percentile(100 * terms / whole, (25, 50, 75))
        found[name] = {
            "steps_per_second": rate,
            "against_amid": ratio[1],
            "contrastive_share": share[1],
        }
        print(
            f"| {name} | {rate:.0f} | {ratio[1]:.2f} ({ratio[0]:.2f}-{ratio[2]:.2f}) "
            f"| {share[1]:.0f} ({share[0]:.0f}-{share[2]:.0f}) |"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
