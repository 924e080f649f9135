"""A section's missing runs, trained by the processes that torchrun starts on one host or several:

    torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29400 \\
        -m stages.train_distributed SECTION DATASET
"""

import os
import signal
import threading
from functools import partial

from amid.data.splits import features_fingerprint
from amid.errors import AmidError, Stopped
from amid.runs.multiprocess import train_under_torchrun
from amid.runs.store import open_store
from amid.studies import load_params
from amid.studies.runs import planned_runs, settled
from stages.common import HOME, PARAMS, data_folder, run_command


def main(section: str, dataset: str) -> None:
    folder = data_folder(dataset)
    params = settled(section, load_params(PARAMS), dataset, folder)
    training = params.training_of(dataset)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        trained = train_under_torchrun(
            planned_runs(section, params, dataset, partial(features_fingerprint, folder)),
            store=open_store(os.environ, HOME),
            data=folder,
            checkpoint_every=training.checkpoint_every,
            checkpoint_minutes=training.checkpoint_minutes,
            stop=stop.is_set,
        )
    except Stopped:
        raise AmidError(
            f"{section}@{dataset}: told to stop, and the run is saved; run the same command again "
            "to go on."
        ) from None
    print(f"{section}@{dataset}: {trained} runs trained", flush=True)


if __name__ == "__main__":
    run_command(main)
