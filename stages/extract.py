"""extract@<dataset>: decodes every clip and writes the feature store and the quarantine."""

import json
import os
import shutil

import pandas as pd

from amid import config
from amid.errors import AmidError
from amid.executors import chosen
from amid.features import check_manifest, counts, extract_features
from amid.shards import Settings, decoder
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, SHARDS, data_folder, run_stage


def main(dataset: str) -> None:
    params = config.load(PARAMS)
    settings, block = Settings.of(os.environ, params.workers), params.dataset(dataset)
    folder = data_folder(dataset)
    check_manifest(manifest := pd.read_parquet(folder / "manifest.parquet"))
    options = {m: {"extractor": e, **o.model_dump()} for m, (e, o) in block.extract.items()}
    with Tracker(f"extract@{dataset}", HOME, options) as tracker:
        index, damaged = extract_features(
            manifest,
            folder,
            folder / "features",
            block.extract,
            workers=settings.workers,
            required=[block.target, *block.auxiliary],
            optional=block.auxiliary,
            decoder=decoder(settings, chosen(os.environ), SHARDS / dataset),
        )
        shutil.rmtree(SHARDS / dataset, ignore_errors=True)
        known = pd.read_parquet(folder / "problems.parquet")
        quarantine = pd.concat([known, damaged], ignore_index=True)
        quarantine.to_parquet(folder / "quarantine.parquet", index=False)
        found = counts(index, quarantine)
        (folder / "extract.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        total, kept, lost = (found[name] for name in ("clips", "kept", "quarantined"))
        without = found.get("without", {})
        numbers = {f"without_{name}": n for name, n in without.items()}
        tracker.log_metrics({"clips": total, "kept": kept, "quarantined": lost, **numbers})
        reasons = sorted(found["reasons"].items(), key=lambda reason: -reason[1])
        worst = ", ".join(f"{n} {reason}" for reason, n in reasons)
        parts = [f"extract@{dataset}: {kept} of {total} clips kept", worst]
        parts += [f"{n} training clips without {name}" for name, n in without.items()]
        print("; ".join(filter(None, parts)))
        if lost > block.quarantine_limit * total:
            raise AmidError(
                f"extract@{dataset}: {lost} of {total} clips are damaged ({worst}), more than "
                f"data.{dataset}.quarantine_limit = {block.quarantine_limit:g} allows; "
                f"{folder / 'quarantine.parquet'} lists them."
            )


if __name__ == "__main__":
    run_stage(main)
