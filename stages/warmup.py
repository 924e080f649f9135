"""warmup@<dataset>: the preliminary alignment, Eq. 17 without its adversarial term."""

from amid.runs.plan import warmup_runs
from stages.common import run_stage
from stages.train import train_stage


def main(dataset: str) -> None:
    train_stage("warmup", dataset, warmup_runs, checkpoint=True)


if __name__ == "__main__":
    run_stage(main)
