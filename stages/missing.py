"""python -m stages.missing DATASET: what the teachers of the study `modalities` predict for test
clips that lack modalities."""

import json

from amid.io.atomic import replace_dir
from amid.io.checksums import record_checksums
from amid.io.progress import Progress
from amid.runs.missing import predict_subsets
from amid.studies import load_params
from amid.studies.base import read_records
from amid.studies.modalities import DROPOUT, PREDICTIONS, WHOLE, subsets
from amid.training.job import MODEL
from stages.common import PARAMS, RUNS, data_folder, run_stage


def main(dataset: str) -> None:
    params = load_params(PARAMS)
    seeds, every = range(params.table_modalities.seeds), subsets(params, dataset)
    folder = RUNS / "modalities" / dataset
    teachers = [(row, run) for row in (DROPOUT, WHOLE) for run in read_records(folder / row, seeds)]
    found: dict[str, dict[str, dict[str, list[int]]]] = {DROPOUT: {}, WHOLE: {}}
    with Progress(f"missing@{dataset}: teachers", len(teachers)) as progress:
        for row, run in teachers:
            model = folder / row / f"seed{run.spec.seed}" / MODEL
            predicted = predict_subsets(run.spec, model, data_folder(dataset), every)
            found[row][run.key] = dict(zip(map("+".join, every), predicted, strict=True))
            progress.advance(1)
    with replace_dir(RUNS / "missing" / dataset) as outs:
        text = json.dumps(found, sort_keys=True) + "\n"
        (outs / PREDICTIONS).write_text(text, encoding="utf-8")
        record_checksums(outs, PREDICTIONS)


if __name__ == "__main__":
    run_stage(main)
