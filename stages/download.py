"""download@<dataset>: makes or fetches the raw files and writes the manifest."""

import json
import os
from importlib import import_module

from amid import config
from amid.datasets import DATASETS, problems
from amid.inspection.place import copy_warning, git_warning
from amid.io.processes import available_cores
from amid.sources.download import resolve_mirror
from amid.tracking.tracker import Tracker
from stages.common import ARCHIVES, HOME, PARAMS, data_folder, run_stage


def main(dataset: str) -> None:
    params = config.load(PARAMS)
    block = params.dataset(dataset)
    source = import_module(DATASETS[block.source])
    folder = data_folder(dataset)
    folder.mkdir(parents=True, exist_ok=True)
    sources = source.fetch(
        block.options,
        folder,
        mirror=resolve_mirror(params.mirror, os.environ),
        workers=params.workers or available_cores(),
        cache=ARCHIVES / dataset,
    )
    (folder / "sources.json").write_text(json.dumps(sources, indent=1, sort_keys=True) + "\n")
    manifest = source.rows(block.options, folder)
    manifest.to_parquet(folder / "manifest.parquet", index=False)
    lost = problems(source, block.options, folder)
    lost.to_parquet(folder / "problems.parquet", index=False)
    counts = manifest["split"].value_counts().to_dict()
    with Tracker(f"download@{dataset}", HOME, block.options.model_dump()) as tracker:
        tracker.log_metrics(
            {"clips": len(manifest), **{f"clips_{k}": v for k, v in counts.items()}}
        )
    for warned in (
        copy_warning(block.folder, dataset, HOME),
        git_warning((HOME / block.folder).resolve(), HOME) if block.source == "own" else None,
    ):
        if warned is not None:
            print(f"WARNING: {warned}")
    shown = ", ".join(f"{counts[name]} {name}" for name in sorted(counts))
    print(f"download@{dataset}: {len(manifest)} clips ({shown})")


if __name__ == "__main__":
    run_stage(main)
