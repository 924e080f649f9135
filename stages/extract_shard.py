"""One share of the shards of extract@<dataset> into the store AMID_STORE: a pod's or a host's part.

INDEX and OF, or JOB_COMPLETION_INDEX (Kubernetes sets it) and AMID_SHARDS, say which share: 0 of 20
to 19 of 20. `dvc repro` of the stage, with the same AMID_STORE, then assembles what is there.
"""

import os

import pandas as pd

from amid import config
from amid.data.extraction import plan_tasks
from amid.data.manifest import check_manifest
from amid.data.shards import Settings, cut, make, named, number, share
from amid.errors import ConfigError
from amid.io.content_store import ContentStore
from amid.media.guard import LIMITS
from stages.common import PARAMS, data_folder, run_command


def main(dataset: str, index: str = "", of: str = "") -> None:
    params = config.load(PARAMS)
    settings = Settings.of(os.environ, params.workers)
    if settings.store is None:
        raise ConfigError("AMID_STORE is not set: name the folder or URL that all shares write to.")
    given = {"JOB_COMPLETION_INDEX": index, "AMID_SHARDS": of}
    words = {name: word or os.environ.get(name) or "not set" for name, word in given.items()}
    at = number(words, "JOB_COMPLETION_INDEX", 0, least=0)
    count = number(words, "AMID_SHARDS", 1)
    if at >= count:  # of the environment, hence no AmidError of `share`: pods are not tried again
        raise ConfigError(f"The share {at} of {count} does not exist: count from 0 to {count - 1}.")
    folder = data_folder(dataset)
    manifest = pd.read_parquet(folder / "manifest.parquet")
    check_manifest(manifest)
    tasks = plan_tasks(manifest, folder, params.dataset(dataset).extract)
    mine = named(share(cut(tasks, settings.files), at, count), LIMITS, settings.workers)
    store, title = ContentStore(settings.store), f"extract_shard@{dataset} {at} of {count}"
    missing = [shard for shard in mine if not store.exists(shard.place)]
    for done, _ in enumerate(make(missing, store, workers=settings.workers, limits=LIMITS), 1):
        print(f"{title}: shard {done} of {len(missing)} done", flush=True)
    known = len(mine) - len(missing)
    print(f"{title}: {len(mine)} shards in the store, {known} of them were there already")


if __name__ == "__main__":
    run_command(main)
