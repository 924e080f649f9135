"""What portable bits cost: one step of AMID with both discriminators, and one product, with a pin
left out, as a ratio to the same with all pins (above 1: slower without it).

A process for each setting, since libraries read theirs once; they take turns, one thread each.
"""

from __future__ import annotations

import amid.core.reproducible  # isort: skip  # noqa: F401  pins kernels before torch loads

import json
import os
import subprocess
import sys

import numpy as np

from amid.core.reproducible import PINS
from benchmarks.side_by_side import arguments, ratio, show

WIDTHS = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "NPY_DISABLE_CPU_FEATURES",
)
# AVX-512 only where the processor has it
SETTINGS = {
    "all pins": {},
    "MKL's vector maths of its own choice": {"MKL_CBWR": ""},
    "numpy with AVX-512": {"NPY_DISABLE_CPU_FEATURES": ""},
    "OpenBLAS with AVX-512": {"OPENBLAS_CORETYPE": ""},
    "torch with AVX-512": {"ATEN_CPU_CAPABILITY": "", "ONEDNN_MAX_CPU_ISA": ""},
    "all of them with AVX-512": dict.fromkeys(WIDTHS, ""),
    "products by MKL": {"ROUTED": "0"},
    "products by MKL, of its own choice": {"ROUTED": "0", "MKL_CBWR": ""},
}
CHILD = """
import json, os, sys, time
import amid.core.reproducible
settings, dim, batch = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
os.environ.update(settings)
for name in [name for name, value in settings.items() if not value]:
    del os.environ[name]
import torch
from pathlib import Path
if settings.get("ROUTED") == "0":
    import amid.core.portable
    amid.core.portable.route_to_numpy = lambda: None
from amid.runs.plan import configured_run
from amid.studies import load_params
from benchmarks.methods import samples, trainer
params = load_params(Path("params.yaml"))
params = params.model_copy(update={"network": params.network.model_copy(update={"dim": dim})})
splits = samples(batch, dim, 26)
one = trainer(configured_run(params, "avlips", "amid", 0, lambda *_: "made up"), splits)
rows, weight = torch.randn(8 * batch, dim), torch.randn(dim, dim)

def timed(work, count):
    start = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - start) / count

print("ready", flush=True)
for line in sys.stdin:
    step = timed(lambda: one.step(splits.train), 4)
    print(json.dumps([step, timed(lambda: rows @ weight, 40)]), flush=True)
"""


def main() -> None:
    given = arguments(__doc__, repeats=30, dim=128, batch=64)
    words = [sys.executable, "-c", CHILD]
    children = {
        name: subprocess.Popen(
            [*words, json.dumps(values), str(given.dim), str(given.batch)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **PINS},
        )
        for name, values in SETTINGS.items()
    }  # fmt: skip
    for child in children.values():
        assert child.stdout.readline() == "ready\n"
    times = []
    for _ in range(given.repeats + 2):
        row = []
        for child in children.values():
            child.stdin.write("go\n")
            child.stdin.flush()
            row.append(json.loads(child.stdout.readline()))
        times.append(row)
    for child in children.values():
        child.stdin.close()
        child.wait()
    found = np.array(times[2:]).transpose(1, 2, 0)  # (settings, step and product, repeats)
    show(
        [
            {
                "setting": name,
                "step, ms": 1e3 * float(np.median(step)),
                "step, ratio": ratio(step, found[0, 0]),
                "product, us": 1e6 * float(np.median(product)),
                "product, ratio": ratio(product, found[0, 1]),
            }
            for name, (step, product) in zip(SETTINGS, found, strict=True)
        ],
        given.json,
    )


if __name__ == "__main__":
    main()
