"""The parameters that a run trains, beside those that its optimisers are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from amid.runs.model_sizes import trained_parameters
from tests.small import small_params, small_run, untrained, write_data

ROWS = [*small_params().table_benchmark.configurations, "kd_joint", "fixed_teacher", "l_ft_l_fa"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sizes") / "avlips"
    return write_data(place, modalities=("audio", "text"))


@pytest.mark.parametrize("auxiliary", [("audio",), ("audio", "text")])
@pytest.mark.parametrize("name", ROWS)
def test_they_are_those_of_the_optimisers(
    name: str, auxiliary: tuple[str, ...], folder: Path
) -> None:
    run = small_run(folder, name, auxiliary=auxiliary)
    trainer = untrained(run, folder)
    found = trained_parameters(
        run.spec,
        classes=4,
        shape=(8, 6),
        widths=dict.fromkeys(run.spec.auxiliary, 16),
        fusion={"hidden": 16},
    )

    def count(optimiser) -> int:
        groups = [] if optimiser is None else optimiser.param_groups
        return sum(p.numel() for group in groups for p in group["params"])

    before = 0
    if run.teacher is not None:
        alone = small_run(folder, "teacher_alone", auxiliary=auxiliary)
        before = count(untrained(alone, folder).optimiser)
    own = count(trainer.optimiser) + count(trainer.adversary)
    assert found.total == own + before
    assert found.method == sum(p.numel() for p in trainer.method.parameters())
    assert found.teacher >= before
    students = (trainer.networks.student, trainer.networks.classifier)
    assert found.student == sum(p.numel() for one in students for p in one.parameters())
    assert found.memory == (2 * 16 if name in ("crd", "crcd") else 0)  # both sides' banks
