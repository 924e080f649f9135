"""auxiliary@<dataset>: pre-trains the auxiliary extractors, then freezes them into embeddings.

Beside them it leaves what a linear probe reads off the features of each modality.
"""

import os
from functools import partial

from amid.data.feature_store import FeatureStore
from amid.data.splits import embeddings_folder, features_fingerprint
from amid.executors import executor_from_env
from amid.inspection.probe import write_probe
from amid.io.atomic import replace_dir
from amid.runs.embeddings import freeze, freeze_features
from amid.runs.plan import auxiliary_runs
from amid.runs.scheduler import run_all
from amid.runs.store import open_store
from amid.studies import load_params
from amid.tracking.tracker import Tracker
from stages.common import HOME, PARAMS, RUNS, data_folder, run_stage


def main(dataset: str) -> None:
    params = load_params(PARAMS)
    executor, store = executor_from_env(os.environ), open_store(os.environ, HOME)
    folder = data_folder(dataset)
    features = FeatureStore.open(folder / "features")
    corpus = "auxiliary" if (features.index["split"] == "auxiliary").any() else "train"
    runs = auxiliary_runs(params, dataset, corpus, partial(features_fingerprint, folder))
    training = params.training_of(dataset)
    with Tracker(f"auxiliary@{dataset}", HOME, {"corpus": corpus}) as tracker:
        records = run_all(
            runs,
            store=store,
            data=folder,
            workers=params.workers,
            checkpoint_every=training.checkpoint_every,
            checkpoint_minutes=training.checkpoint_minutes,
            tracker=tracker,
            executor=executor,
        )
    for run in runs:
        model = store.model(run.spec.key)
        card = freeze(records[run.spec.key], model, features, embeddings_folder(folder))
        accuracy = card["test_accuracy"]
        shown = "not tested" if accuracy is None else f"{100 * accuracy:.1f} % on test"
        print(f"auxiliary@{dataset}: {run.configuration} alone {shown}")
    for modality, encoder in params.dataset(dataset).encoders.items():
        if encoder == "none":
            freeze_features(modality, corpus, features, embeddings_folder(folder))
            print(f"auxiliary@{dataset}: {modality} is used as it is")
    with replace_dir(RUNS / "probe" / dataset) as outs:
        for line in write_probe(features, outs):
            print(f"auxiliary@{dataset}: {line}")


if __name__ == "__main__":
    run_stage(main)
