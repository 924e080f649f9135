"""folds@<dataset>: Table 3's cross-validation by group, in each setup of the data set."""

from amid.runs.plan import fold_runs
from stages.common import run_stage
from stages.train import train_stage


def main(dataset: str) -> None:
    train_stage("folds", dataset, fold_runs)


if __name__ == "__main__":
    run_stage(main)
