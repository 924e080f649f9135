"""extract@<dataset>: decodes every clip and writes the feature store and the quarantine."""

import json
import os
import shutil

import pandas as pd

from amid import config
from amid.data import extraction
from amid.data.manifest import check_manifest
from amid.data.shards import Settings, decoder
from amid.errors import AmidError
from amid.executors import executor_from_env
from amid.tracking.tracker import Tracker
from stages.common import HOME, PARAMS, SHARDS, data_folder, run_stage


def main(dataset: str) -> None:
    params = config.load(PARAMS)
    settings, block = Settings.of(os.environ, params.workers), params.dataset(dataset)
    folder = data_folder(dataset)
    check_manifest(manifest := pd.read_parquet(folder / "manifest.parquet"))
    options = {m: {"extractor": e, **o.model_dump()} for m, (e, o) in block.extract.items()}
    with Tracker(f"extract@{dataset}", HOME, options) as tracker:
        found = extraction.extract_features(
            manifest,
            folder,
            folder / "features",
            block.extract,
            workers=settings.workers,
            required=[block.target, *block.auxiliary],
            optional=block.auxiliary,
            decoder=decoder(settings, executor_from_env(os.environ), SHARDS / dataset),
        )
        shutil.rmtree(SHARDS / dataset, ignore_errors=True)
        known = pd.read_parquet(folder / "problems.parquet")
        quarantine = pd.concat([known, found.quarantine], ignore_index=True)
        quarantine.to_parquet(folder / "quarantine.parquet", index=False)
        numbers = extraction.counts(found._replace(quarantine=quarantine))
        (folder / "extract.json").write_text(json.dumps(numbers, indent=1, sort_keys=True) + "\n")
        tracker.log_metrics(extraction.as_metrics(numbers))
        for told in (extraction.summary(numbers), *extraction.lost_classes(manifest, found)):
            print(f"extract@{dataset}: {told}")
        total, lost = numbers["clips"], numbers["quarantined"]
        if lost > block.quarantine_limit * total:
            raise AmidError(
                f"extract@{dataset}: {lost} of {total} clips are damaged "
                f"({extraction.frequent_reasons(numbers)}), more than "
                f"quarantine_limit = {block.quarantine_limit:g} in dataset/{dataset}.yaml allows; "
                f"{folder / 'quarantine.parquet'} lists them."
            )


if __name__ == "__main__":
    run_stage(main)
