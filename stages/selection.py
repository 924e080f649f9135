"""selection@<dataset>: every rule of sample selection, kept share and share of mismatched pairs."""

from amid.runs.plan import selection_runs
from stages.common import run_stage
from stages.train import train_stage


def main(dataset: str) -> None:
    train_stage("selection", dataset, selection_runs)


if __name__ == "__main__":
    run_stage(main)
