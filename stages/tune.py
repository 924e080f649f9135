"""tune@<dataset>: the search of each method's numbers, judged on validation."""

from amid.runs.plan import tune_runs
from stages.common import run_stage
from stages.train import train_stage


def main(dataset: str) -> None:
    train_stage("tune", dataset, tune_runs)


if __name__ == "__main__":
    run_stage(main)
