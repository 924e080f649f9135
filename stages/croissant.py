"""croissant@<dataset>: reports/croissant/<dataset>.json, the data set described in Croissant."""

import os
from importlib import import_module

from amid import config
from amid.datasets import DATASETS
from amid.inspection.croissant import MANIFEST, croissant, write_croissant
from stages.common import PARAMS, REPORTS, data_folder, run_stage


def main(dataset: str) -> None:
    block = config.load(PARAMS).dataset(dataset)
    about = getattr(import_module(DATASETS[block.source]), "ABOUT", {})
    folder, path = data_folder(dataset), REPORTS / "croissant" / f"{dataset}.json"
    url = os.path.relpath(folder / MANIFEST, path.parent)
    write_croissant(croissant(dataset, block, folder, about, url), path)


if __name__ == "__main__":
    run_stage(main)
