"""sensitivity@<dataset>: AMID with one of its weights changed, the runs of Table 6."""

from amid.runs.plan import sensitivity_runs
from stages.common import run_stage
from stages.train import train_stage


def main(dataset: str) -> None:
    train_stage("sensitivity", dataset, sensitivity_runs)


if __name__ == "__main__":
    run_stage(main)
