"""Does an encoder that was pre-trained on pairs help a distilled student?

The student of one data set starts from random weights, or from an encoder of the same modality that
was pre-trained by `clip` on the pairs of another one: by default grid's from grid_sentences', whose
sentences are in the splits that their words are in. All weights but the statistics of the input are
taken over. One pre-training a seed, without wrong pairs, at its best epoch on validation. Each row
is compared with random weights, seed by seed: a paired t test with Holm's correction within a
configuration. Nothing is written but to a temporary folder.

    python -m benchmarks.pretrained --pairs video,audio video,text
"""

from __future__ import annotations

import amid.core.reproducible  # isort: skip  # noqa: F401  pins kernels before torch loads

import tempfile
from argparse import ArgumentParser
from functools import partial
from pathlib import Path

import pandas as pd
from torch import Tensor

from amid.config import Params
from amid.contrastive.pairs import load_pairs
from amid.contrastive.trainer import PairTrainer
from amid.core.reproducible import use_deterministic_kernels
from amid.data.splits import features_fingerprint, load_splits
from amid.runs.pairs import pair_run
from amid.runs.plan import configured_run
from amid.studies import load_params
from amid.studies.base import with_holm
from amid.studies.statistics import mean_std, paired_t
from amid.training.run_state import CheckpointPolicy
from amid.training.trainer import Trainer

RANDOM = "random weights"


def pretrained(
    params: Params, data: Path, modalities: list[str], encoder: str, seed: int, epochs: int
) -> tuple[dict[str, Tensor], float]:
    """The weights of the first modality's encoder, `encoder`, after pre-training on the pairs of
    `data`, and the recall at 1 on the test pairs."""
    block = params.dataset(data.name)
    block = block.model_copy(update={"encoders": {**block.encoders, modalities[0]: encoder}})
    params = params.model_copy(update={"data": {**params.data, data.name: block}})
    study = params.table7.model_copy(
        update={
            "modalities": {data.name: modalities},
            "training": params.table7.training.model_copy(update={"epochs": epochs}),
        }
    )
    fingerprint = partial(features_fingerprint, data)
    spec = pair_run(params, study, data.name, seed, fingerprint, folder="").spec
    trainer = PairTrainer(spec, load_pairs(data, spec))
    record = trainer.fit(on_epoch=lambda *_: None, policy=_policy(epochs))
    weights = trainer.networks.encoders[modalities[0]].state_dict()  # of the best epoch
    return weights, record.retrieval["best"].get("r@1", float("nan"))


def student(
    params: Params, data: Path, configuration: str, seed: int, weights: dict[str, Tensor] | None
) -> float:
    """Top-1 on the test clips of a configuration's student that starts from `weights`."""
    fingerprint = partial(features_fingerprint, data)
    run = configured_run(params, data.name, configuration, seed, fingerprint, unbroken=True)
    if run.teacher is not None:
        raise SystemExit(f"{configuration} has a fixed teacher, which this script does not train")
    trainer = Trainer(run.spec, load_splits(data, run.spec))
    if weights is not None:
        own = trainer.networks.student.state_dict()
        taken = {n: v for n, v in weights.items() if not n.startswith("standardise.")}
        trainer.networks.student.load_state_dict({**own, **taken})
    epochs = run.spec.training["epochs"]
    record = trainer.fit(on_epoch=lambda *_: None, policy=_policy(epochs))
    return 100 * record.accuracy(record.selected_on)


def _policy(epochs: int) -> CheckpointPolicy:
    return CheckpointPolicy(Path(tempfile.mkdtemp()) / "checkpoint", epochs)


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/grid"), help="of the student")
    parser.add_argument("--from", dest="source", type=Path, default=Path("data/grid_sentences"))
    parser.add_argument("--pairs", nargs="+", default=["video,audio"], help="student's first")
    parser.add_argument("--configurations", default="student_alone,amid")
    parser.add_argument("--epochs", type=int, default=30, help="of the pre-training")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    use_deterministic_kernels()
    params = load_params(Path("params.yaml"))
    block = params.dataset(given.data.name)
    starts: dict[str, list[dict[str, Tensor] | None]] = {RANDOM: [None] * given.seeds}
    for pair in given.pairs:
        modalities, encoder = pair.split(","), block.encoders[block.target]
        found = [
            pretrained(params, given.source, modalities, encoder, seed, given.epochs)
            for seed in range(given.seeds)
        ]
        print(f"pre-trained on {pair}: R@1 {[round(100 * r1, 1) for _, r1 in found]}", flush=True)
        starts[pair] = [weights for weights, _ in found]
    rows = []
    for name in given.configurations.split(","):
        of_random: list[float] = []
        for start, several in starts.items():
            values = [
                student(params, given.data, name, seed, weights)
                for seed, weights in enumerate(several)
            ]
            of_random = of_random or values
            mean, std = mean_std(values)
            row = {"configuration": name, "start": start, "top1": mean, "std": std}
            row["difference"] = mean - mean_std(of_random).mean
            row["p"] = None if start == RANDOM else paired_t(values, of_random)
            print(row, [round(v, 2) for v in values], flush=True)
            rows.append(row)
    print(with_holm(pd.DataFrame(rows), ["configuration"], "p").to_string(index=False))


if __name__ == "__main__":
    main()
