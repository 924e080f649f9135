"""Contrastive pre-training: a whole step against its floor, and what selection costs beside it.

Made-up features in avsentences's sizes, B 256, D 128, one thread; the sides are timed in turn, in
processor time. The floor of a step is that of benchmarks.step, with convolutions among the
products: AdamW moves as many bytes as Adam. scoring: forward pass and scores of a batch without
gradients. bookkeeping: what a rule does with the scores of a batch. Both against a step on all
pairs of the batch.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, ratio, show, timed  # isort: skip  pins kernels first


import time
from pathlib import Path

import numpy as np
import torch

from amid.contrastive.pairs import PairBatch, PairSplits
from amid.contrastive.trainer import PairTrainer
from amid.core.reproducible import use_deterministic_kernels
from amid.runs.pairs import Rule, pair_run
from amid.selection.pair_rules import RULES
from amid.studies import load_params
from benchmarks import step

CONVOLUTIONS = {"aten.convolution.default", "aten.convolution_backward.default"}
PAIRS, BATCH = 2000, 256


def trainer(rule: str | None) -> PairTrainer:
    """A trainer on random features, past the warm-up of its rule."""
    params = load_params(Path("params.yaml"))
    training = params.table7.training.model_copy(update={"batch_size": BATCH})
    block = params.table7.model_copy(update={"training": training})
    chosen = None if rule is None else Rule(name=rule)
    spec = pair_run(
        params, block, "avsentences", 0, lambda *_: "made up", folder="", rule=chosen, ratio=0.5
    ).spec
    generator = torch.Generator().manual_seed(0)
    features = {
        "audio": torch.randn(PAIRS, 64, 40, generator=generator),
        "text": torch.randn(PAIRS, 512, generator=generator),
    }
    batch = PairBatch(features, torch.arange(PAIRS))
    none = batch.take(torch.arange(0))
    one = PairTrainer(spec, PairSplits(batch, none, none, torch.zeros(PAIRS, dtype=torch.bool), []))
    if one.selector is not None:
        one.selector.begin_epoch(30)
    return one


def main() -> None:
    given = arguments(__doc__, repeats=40)
    use_deterministic_kernels()  # as trainings do
    whole = trainer(None)
    chosen = torch.randperm(PAIRS, generator=torch.Generator().manual_seed(1))[:BATCH]
    batch = whole.data.train.take(chosen)
    calls = step.products(whole, batch, CONVOLUTIONS)
    scores = whole._score(batch)
    selectors = {rule: trainer(rule).selector for rule in RULES}
    buffer = torch.zeros(2**25)  # 128 MiB
    sides = {
        "step": lambda: whole.step(batch),
        "products": lambda: [call() for call in calls],
        "copy": lambda: buffer.clone(),
        "scoring": lambda: whole._score(batch),
    }
    for rule, selector in selectors.items():
        sides[rule] = lambda selector=selector: selector.choose(batch.samples, lambda: scores)
    times = timed(sides, given.repeats, clock=time.thread_time)
    parameters = sum(p.numel() for p in whole.parameters())
    floor = times["products"] + 28 * parameters / (2 * buffer.nbytes / times["copy"])
    rows = [
        {"side": "step", "ms": _ms(times["step"]), "ratio": ratio(times["step"], floor)},
        {
            "side": "scoring",
            "ms": _ms(times["scoring"]),
            "ratio": ratio(times["scoring"], times["step"]),
        },
    ]
    for rule in RULES:
        shown = ratio(times[rule], times["step"])
        rows.append({"side": f"bookkeeping of {rule}", "ms": _ms(times[rule]), "ratio": shown})
    show(rows, given.json)


def _ms(times: np.ndarray) -> float:
    return 1000 * float(np.median(times))


if __name__ == "__main__":
    main()
