"""adversarial@<dataset>: readings of the adversarial term, judged on validation."""

from amid.runs.plan import adversarial_runs
from stages.common import run_stage
from stages.train import train_stage


def main(dataset: str) -> None:
    train_stage("adversarial", dataset, adversarial_runs)


if __name__ == "__main__":
    run_stage(main)
