"""What sample selection saves: time of a step of AMID against keeping every sample.

All rules and ratios train on the same made-up samples in one process on one thread, step by step in
turn, past DISSect's warm-up; prints medians and quartiles of the ratio to a step on whole batches.
"""

from __future__ import annotations

import amid.core.reproducible  # isort: skip  # noqa: F401  pins kernels before torch loads

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from amid.runs.plan import configured_run
from amid.studies import load_params
from benchmarks.methods import samples, trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--configuration", default="amid")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    params = load_params(Path("params.yaml"))
    splits = samples(2000, params.network.dim, 51)
    rules = [("all", 1.0)]
    rules += [(rule, r) for rule in params.table_selection.rules for r in (0.75, 0.5, 0.25)]
    trainers = {}
    for rule, ratio in rules:
        chosen = {"name": "all"} if rule == "all" else params.table_selection.rules[rule]
        run = configured_run(
            params,
            "avlips",
            arguments.configuration,
            0,
            lambda *_: "made up",
            overrides={"selection": {**chosen, "ratio": ratio}},
        )
        trainers[rule, ratio] = one = trainer(run, splits)
        if one.selector is not None:
            one.selector.begin_epoch(run.spec.training["epochs"] - 1)
    generator = torch.Generator().manual_seed(1)
    times = np.empty((arguments.repeats, len(rules)))
    for repeat in range(-3, arguments.repeats):  # the first three warm caches
        rows = torch.randperm(len(splits.train), generator=generator)[: arguments.batch]
        for place, rule in enumerate(rules):
            batch = splits.train.take(rows)
            start = time.perf_counter()
            trainers[rule].step(batch)
            times[max(repeat, 0), place] = time.perf_counter() - start
    print(f"{arguments.configuration}, batch {arguments.batch}, D {params.network.dim}\n")
    print("| rule | ratio | time of a step against all samples (quartiles) |\n|---|---:|---:|")
    for place, (rule, ratio) in enumerate(rules):
        low, middle, high = np.percentile(times[:, place] / times[:, 0], (25, 50, 75))
        print(f"| {rule} | {ratio:g} | {middle:.2f} ({low:.2f}-{high:.2f}) |")


if __name__ == "__main__":
    main()
