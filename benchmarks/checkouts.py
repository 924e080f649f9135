"""Two checkouts of this project side by side in one run: films, a whole extraction, a step.

python -m benchmarks.checkouts OTHER         # 8 frames of the films of benchmarks.media
python -m benchmarks.checkouts OTHER --data data/grid --repeats 3  # all features of a data set
python -m benchmarks.checkouts OTHER --dim 128  # four training steps of each method, one thread

OTHER is a folder with another commit. Each side is a process of its own that works when it is told
to, in turn; ratios are OTHER's seconds over ours, of the clock and of the processor. Those of all
its processes count, and other programs disturb them less.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, ratio, show, timed  # isort: skip  pins kernels first

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.extraction import write
from benchmarks.media import FILMS

METHODS = ("student_alone", "teacher_alone", "amid", "crd", "gmc", "ccl", "crcd")
READ = """
try:
    import amid.core.reproducible
except ImportError:  # before the library had layers
    import amid.reproducible
import cv2
from pathlib import Path
from amid.extractors import Span, frame_dct
cv2.setNumThreads(1)
try:
    from amid.media.guard import keep_memory
    keep_memory()
except ImportError:
    pass
spans, options = [Span("", float("nan"), float("nan"))], frame_dct.Options()
work = lambda path: frame_dct.extract(Path(path), spans, options)
"""
EXTRACT = """
try:
    import amid.core.reproducible
    from amid.studies import load_params
    from amid.data.extraction import extract_features
except ImportError:
    import amid.reproducible
    from amid.config import load as load_params
    from amid.features import extract_features
import tempfile
from pathlib import Path
import pandas as pd
def work(place):
    data = Path(place)
    block = load_params(Path("params.yaml")).data[data.name]
    manifest = pd.read_parquet(data / "manifest.parquet")
    with tempfile.TemporaryDirectory() as out:
        extract_features(manifest, data, Path(out) / "features", block.extract, workers=2,
                         required=[block.target, *block.auxiliary], optional=block.auxiliary)
"""
STEPS = """
from benchmarks.methods import *
torch.set_num_threads(1)
params, trainers = load_params(Path("params.yaml")), {}
network = params.network.model_copy(update={"dim": DIM})
params = params.model_copy(update={"network": network})
splits = samples(SAMPLES, DIM, 51)
def work(name):
    if name not in trainers:
        planned = configured_run(params, "avlips", name, 0, lambda *_: "made up")
        trainers[name] = trainer(planned, splits)
    one = trainers[name]
    for _ in range(4):
        one.step(one.data.train.take(torch.arange(BATCH)))
"""
LOOP = """
import sys, time, psutil
def spent():
    below = psutil.Process().children(recursive=True)
    return time.process_time() + sum(sum(one.cpu_times()[:4]) for one in below)
if __name__ == "__main__":
    for line in sys.stdin:
        before = spent()
        work(line.strip())
        print(spent() - before, flush=True)
"""


class Side:
    """A process in a checkout that works once for every line it gets."""

    def __init__(self, checkout: Path, program: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        self.process = subprocess.Popen(
            [sys.executable, str(program)],
            cwd=checkout,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.processor: list[float] = []  # seconds of each work

    def work(self, place: Path) -> None:
        print(place, file=self.process.stdin, flush=True)
        spent = self.process.stdout.readline()
        if not spent:
            raise SystemExit(f"{self.process.args} ended")
        self.processor.append(float(spent))


def main() -> None:
    given = arguments(
        __doc__, {"data": Path}, places=("other",), dim=0, batch=64, samples=2000, repeats=25
    )
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "work.py"
        if given.dim:
            sizes = f"DIM, BATCH, SAMPLES = {given.dim}, {given.batch}, {given.samples}"
            program.write_text(sizes + STEPS + LOOP)
            places = [Path(name) for name in METHODS]
        elif given.data:
            program.write_text(EXTRACT + LOOP)
            places = [given.data.absolute()]
        else:
            program.write_text(READ + LOOP)
            places = [Path(folder) / film.name for film in FILMS]
            for film, path in zip(FILMS, places, strict=True):
                write(film, path)
        ours, other = (Side(place.absolute(), program) for place in (Path.cwd(), given.other))
        rows = []
        for place in places:
            sides = {"ours": partial(ours.work, place), "other": partial(other.work, place)}
            times = timed(sides, given.repeats, warm=1)
            spent = [np.array(side.processor[-given.repeats :]) for side in (ours, other)]
            rows.append(
                {
                    "what": place.name,
                    "ours, s": float(sorted(times["ours"])[given.repeats // 2]),
                    "other, s": float(sorted(times["other"])[given.repeats // 2]),
                    "other / ours": ratio(times["other"], times["ours"]),
                    "ours, processor s": float(np.median(spent[0])),
                    "other, processor s": float(np.median(spent[1])),
                    "processor, other / ours": ratio(spent[1], spent[0]),
                }
            )
        show(rows, given.json)
        for side in (ours, other):
            side.process.stdin.close()
            side.process.wait()


if __name__ == "__main__":
    main()
