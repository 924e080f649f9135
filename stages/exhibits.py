"""exhibits@<dataset>: what the report shows of a data set beside its run records."""

import json

import pandas as pd

from amid.data.feature_store import FeatureStore
from amid.io.atomic import replace_dir
from amid.report import exhibits
from amid.runs.store import CHECKPOINT, MODEL
from amid.studies import load_params
from amid.studies.base import REFERENCE, load_records
from amid.studies.sections import stage_of
from stages.common import PARAMS, RUNS, data_folder, run_stage


def main(dataset: str) -> None:
    params = load_params(PARAMS)
    params = params.model_copy(update={"datasets": [dataset]})
    data, block, chosen = data_folder(dataset), params.dataset(dataset), params.report
    trained = {name for names in params.sections.values() for name in names}
    rows = [*params.student.configurations, *({REFERENCE} & trained)]
    records = load_records(params, RUNS, list(dict.fromkeys(rows)))[dataset]
    folders = {
        run.key: RUNS / stage_of(params, name) / dataset / name / f"seed{run.spec.seed}"
        for name, runs in records.items()
        for run in runs
    }
    plane = {"missing": f"No section of params.yaml trains the configuration {REFERENCE}."}
    if REFERENCE in records:
        run = records[REFERENCE][0]
        plane = exhibits.tsne(run, folders[run.key] / CHECKPOINT, data, chosen)
    samples, pictures = exhibits.samples(
        {name: records[name] for name in params.student.configurations},
        {key: folder / MODEL for key, folder in folders.items()},
        block,
        FeatureStore.open(data / "features"),
        pd.read_parquet(data / "manifest.parquet"),
        data,
        chosen,
    )
    counts = json.loads((data / "extract.json").read_text())
    quarantine = pd.read_parquet(data / "quarantine.parquet")
    found = {"plane": plane, "samples": samples}
    found |= {"quarantine": exhibits.quarantine_counts(quarantine, counts)}
    with replace_dir(RUNS / "exhibits" / dataset) as outs:
        exhibits.write(outs, found, pictures)


if __name__ == "__main__":
    run_stage(main)
