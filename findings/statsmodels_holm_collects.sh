#!/usr/bin/env bash
# With statsmodels 0.15.0, Holm's correction of five p values takes longer the more objects the process holds.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6 pandas==3.1.1
"$folder/venv/bin/python" - <<'PYTHON'
import gc
import sys
import time

from statsmodels.stats.multitest import multipletests

P_VALUES = [0.001, 0.01, 0.02, 0.03, 0.5]
full = []  # collections of all generations
gc.callbacks.append(lambda phase, info: full.append(1) if (phase, info["generation"]) == ("stop", 2) else None)
gc.disable()  # so that Python itself collects nothing


def seconds(correct):
    times = []
    for _ in range(5):
        start = time.perf_counter()
        correct()
        times.append(time.perf_counter() - start)
    return sorted(times)[2]


def measured():
    full.clear()
    by = {"holm": seconds(lambda: multipletests(P_VALUES, method="holm"))}
    collections = len(full)
    for method in ("holm-sidak", "simes-hochberg", "fdr_bh"):
        by[method] = seconds(lambda method=method: multipletests(P_VALUES, method=method))
    return by, collections, len(full) - collections


few, collections, others = measured()
held = [[number] for number in range(2_000_000)]  # what a process holds that has nothing to do with it
many, more, still_others = measured()
print("statsmodels 0.15.0: multipletests(p, method) of five p values, five times each, with the garbage collector disabled")
print("Behaviour: with method='holm' each call collects garbage of all generations, although the collector is disabled, so that")
print("it takes as long as it takes to walk all that the process holds. With the other methods none does.")
print("One would have sworn: a correction of five numbers takes the same time everywhere, and leaves the collector alone.")
print()
for name in few:
    print(f"{name:14s} {1000 * few[name]:8.2f} ms, with two million lists beside it {1000 * many[name]:8.2f} ms")
print(f"full collections in five calls with holm: {collections} and {more}; in fifteen with others: {others} and {still_others}")
described = collections == more == 5 and others == still_others == 0 and many["holm"] > 5 * few["holm"]
sys.exit(0 if described else "No longer as described.")
PYTHON
