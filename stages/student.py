"""student@<dataset>: releases the student that is best on validation and registers it."""

import pandas as pd

from amid.data.feature_store import FeatureStore
from amid.runs.store import MODEL
from amid.serving.release import release
from amid.studies import load_params
from amid.studies.base import load_records
from amid.studies.sections import stage_of
from amid.tracking.registry import register_student
from amid.tracking.tracker import Tracker
from stages.common import HOME, PARAMS, RUNS, STUDENTS, data_folder, run_stage


def main(dataset: str) -> None:
    params = load_params(PARAMS)
    params = params.model_copy(update={"datasets": [dataset]})
    block, data = params.dataset(dataset), data_folder(dataset)
    chosen_from = params.student.configurations
    candidates = load_records(params, RUNS, chosen_from)[dataset]
    models = {
        run.key: RUNS / stage_of(params, name) / dataset / name / f"seed{run.spec.seed}" / MODEL
        for name, runs in candidates.items()
        for run in runs
    }
    folder = STUDENTS / dataset
    with Tracker(f"student@{dataset}", HOME, {"configurations": chosen_from}) as tracker:
        card = release(
            folder,
            candidates,
            models,
            block,
            FeatureStore.open(data / "features"),
            pd.read_parquet(data / "manifest.parquet"),
        )
        version = register_student(tracker, f"amid-{dataset}-student", folder, card)
    training, of_run = card["training"], card["metrics"]["run"]
    registered = f"version {version}" if version else "not registered"
    print(
        f"student@{dataset}: {training['configuration']}, seed {training['seed']}, run "
        f"{training['run']}; validation Top-1 {_shown(of_run['validation_top1'])}, test "
        f"{_shown(of_run['test_top1'])}; amid-{dataset}-student {registered} in MLflow"
    )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %"


if __name__ == "__main__":
    run_stage(main)
