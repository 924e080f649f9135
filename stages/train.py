"""python -m stages.train NAME DATASET: trains the missing runs of NAME and collects them as outs.

NAME is `warmup`, a section of params.yaml, or what a study trains (`folds`, `sensitivity`, ...).
"""

import json
import os
from functools import partial

from amid.data.splits import features_fingerprint
from amid.executors import executor_from_env
from amid.io.atomic import replace_dir, write_atomic
from amid.runs.scheduler import run_all
from amid.runs.store import open_store
from amid.studies import load_params
from amid.studies.runs import WITH_CHECKPOINTS, all_runs, planned_runs, settled, student_means
from amid.tracking.tracker import Tracker
from stages.common import HOME, PARAMS, REPORTS, RUNS, data_folder, run_stage

WITH_METRICS = {"amid"}  # for an answer at one weight, before any table is made


def main(name: str, dataset: str) -> None:
    executor, store = executor_from_env(os.environ), open_store(os.environ, HOME)
    folder = data_folder(dataset)
    params = settled(name, load_params(PARAMS), dataset, folder)
    planning = params, dataset, partial(features_fingerprint, folder)
    runs = planned_runs(name, *planning)
    training = params.training_of(dataset)
    with Tracker(f"{name}@{dataset}", HOME, params.top_level) as tracker:
        records = run_all(
            all_runs(runs, *planning),
            store=store,
            data=folder,
            workers=params.workers,
            checkpoint_every=training.checkpoint_every,
            checkpoint_minutes=training.checkpoint_minutes,
            tracker=tracker,
            executor=executor,
        )
    with replace_dir(RUNS / name / dataset) as outs:
        for run in runs:
            store.export(run.spec.key, outs / run.folder, checkpoint=name in WITH_CHECKPOINTS)
    if name in WITH_METRICS:
        text = json.dumps({"trained": {dataset: student_means(runs, records)}}, indent=1) + "\n"
        write_atomic(REPORTS / "trained" / f"{dataset}.json", text.encode())


if __name__ == "__main__":
    run_stage(main)
