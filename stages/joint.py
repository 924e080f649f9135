"""amid@<dataset>: joint training with both discriminators; its checkpoints hold all networks."""

from functools import partial

from amid.runs.plan import section_runs
from stages.common import run_stage
from stages.train import train_stage


def main(dataset: str) -> None:
    # The report draws the teacher's representations too, and a model file holds the student alone.
    train_stage("amid", dataset, partial(section_runs, "amid"), checkpoint=True)


if __name__ == "__main__":
    run_stage(main)
