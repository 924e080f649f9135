"""extract@<dataset>: decodes every clip and writes the feature store and the quarantine."""

import json

import pandas as pd

from amid import config
from amid.errors import AmidError
from amid.executors.local import available_cores
from amid.features import check_manifest, counts, extract_features
from amid.tracking import Tracker
from stages.common import HOME, PARAMS, data_folder, run_stage


def main(dataset: str) -> None:
    params = config.load(PARAMS)
    block = params.dataset(dataset)
    folder = data_folder(dataset)
    manifest = pd.read_parquet(folder / "manifest.parquet")
    check_manifest(manifest)
    numbers = {m: {"extractor": e, **o.model_dump()} for m, (e, o) in block.extract.items()}
    with Tracker(f"extract@{dataset}", HOME, numbers) as tracker:
        index, damaged = extract_features(
            manifest,
            folder,
            folder / "features",
            block.extract,
            workers=params.workers or available_cores(),
            required=[block.target, *block.auxiliary],
            optional=block.auxiliary,
        )
        known = pd.read_parquet(folder / "problems.parquet")
        quarantine = pd.concat([known, damaged], ignore_index=True)
        quarantine.to_parquet(folder / "quarantine.parquet", index=False)
        found = counts(index, quarantine)
        (folder / "extract.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        numbers = {name: found[name] for name in ("clips", "kept", "quarantined")}
        without = found.get("without", {})
        tracker.log_metrics(numbers | {f"without_{name}": n for name, n in without.items()})
        reasons = sorted(found["reasons"].items(), key=lambda reason: -reason[1])
        worst = ", ".join(f"{n} {reason}" for reason, n in reasons)
        parts = [f"extract@{dataset}: {found['kept']} of {found['clips']} clips kept", worst]
        parts += [f"{n} training clips without {name}" for name, n in without.items()]
        print("; ".join(filter(None, parts)))
        total, lost = found["clips"], found["quarantined"]
        if lost > block.quarantine_limit * total:
            raise AmidError(
                f"extract@{dataset}: {lost} of {total} clips are damaged ({worst}), more than "
                f"data.{dataset}.quarantine_limit = {block.quarantine_limit:g} allows; "
                f"{folder / 'quarantine.parquet'} lists them."
            )


if __name__ == "__main__":
    run_stage(main)
