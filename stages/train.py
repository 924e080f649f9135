"""<section>@<dataset>: trains all runs of a section of params.yaml and collects them as outs."""

import os
from collections.abc import Callable
from functools import partial

from amid import config
from amid.batches import features_fingerprint
from amid.datasets.on_disk import renewed
from amid.executors import chosen
from amid.runs.plan import PlannedRun, section_runs, with_teachers
from amid.runs.store import open_store
from amid.runs.training import run_all
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, RUNS, data_folder, run_stage


def train_stage(
    section: str, dataset: str, plan: Callable[..., list[PlannedRun]], *, checkpoint: bool = False
) -> None:
    """Trains what `plan` asks for and copies it to runs/<section>/<dataset>/."""
    params = config.load(PARAMS)
    executor, store = chosen(os.environ), open_store(os.environ, HOME)
    folder = data_folder(dataset)
    runs = plan(params, dataset, partial(features_fingerprint, folder))
    training = params.training_of(dataset)
    numbers = {"alpha": params.alpha, "beta": params.beta, "gamma": params.gamma}
    with Tracker(f"{section}@{dataset}", HOME, numbers) as tracker:
        run_all(
            with_teachers(runs),
            store=store,
            data=folder,
            workers=params.workers,
            checkpoint_every=training.checkpoint_every,
            checkpoint_minutes=training.checkpoint_minutes,
            tracker=tracker,
            executor=executor,
        )
    with renewed(RUNS / section / dataset) as outs:
        for run in runs:
            store.export(run.spec.key, outs / run.folder, checkpoint=checkpoint)


def main(section: str, dataset: str) -> None:
    train_stage(section, dataset, partial(section_runs, section))


if __name__ == "__main__":
    run_stage(main)
