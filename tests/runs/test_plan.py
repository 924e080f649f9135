"""Which runs a change of a number trains anew."""

from __future__ import annotations

import pytest

from amid import config
from amid.errors import ConfigError
from amid.runs.plan import PlannedRun, auxiliary_runs, section_runs, warmup_runs
from amid.types import RunSpec
from tests.small import ROOT


def fingerprint(target: str, auxiliary: tuple[str, ...]) -> str:
    return f"features of {target} with {auxiliary}"


def all_runs(**updates: object) -> dict[str, set[str]]:
    """Stage -> keys of its runs, for the project's parameters with `updates`."""
    params = config.load(ROOT / "params.yaml").model_copy(update=updates)
    stages = {"warmup": warmup_runs(params, "avlips", fingerprint)}
    for section in params.sections:
        stages[section] = section_runs(section, params, "avlips", fingerprint)
    return {name: {run.spec.key for run in runs} for name, runs in stages.items()}


def new_runs(**updates: object) -> dict[str, int]:
    """Stage -> how many runs the change adds to what the store holds already."""
    known = set().union(*all_runs().values())
    return {name: len(keys - known) for name, keys in all_runs(**updates).items()}


def test_how_many_runs_table_4_takes() -> None:
    counts = {name: len(keys) for name, keys in all_runs().items()}
    # warm-ups: L_FT, L_FT + L_FA (which AMID shares), CCL's loss twice; three seeds each
    assert counts == {"warmup": 12, "baselines": 6, "amid": 3, "ablation": 12}


def test_alpha_trains_what_depends_on_it_and_nothing_else() -> None:
    assert new_runs(alpha=4.1) == {"warmup": 12, "baselines": 0, "amid": 3, "ablation": 12}


def test_beta_leaves_l_ft_alone() -> None:
    assert new_runs(beta=1.6) == {"warmup": 9, "baselines": 0, "amid": 3, "ablation": 9}


def test_gamma_leaves_the_warm_ups_alone() -> None:
    assert new_runs(gamma=1.1) == {"warmup": 0, "baselines": 0, "amid": 3, "ablation": 6}


def test_another_seed_trains_its_own_runs_only() -> None:
    assert new_runs(seeds=[0, 1, 2, 3]) == {"warmup": 4, "baselines": 2, "amid": 1, "ablation": 4}


@pytest.mark.parametrize("field", ["checkpoint_every", "auxiliary_seed"])
def test_numbers_that_change_no_result_train_nothing(field: str) -> None:
    params = config.load(ROOT / "params.yaml")
    training = params.training.model_copy(update={field: 7})
    assert set(new_runs(training=training, workers=2).values()) == {0}


def test_l_ft_l_fa_and_amid_go_on_from_the_same_warm_up() -> None:
    params = config.load(ROOT / "params.yaml")
    runs = [
        run
        for section in ("amid", "ablation")
        for run in section_runs(section, params, "avlips", fingerprint)
        if run.configuration in ("amid", "l_ft_l_fa")
    ]
    parents = {(run.spec.seed, run.parent.key) for run in runs}
    assert len(parents) == len(params.seeds)
    assert {run.parent.training["epochs"] for run in runs} == {10}


def test_a_fixed_order_of_equal_specifications_is_one_run() -> None:
    params = config.load(ROOT / "params.yaml")
    more = {**params.configurations, "also_l_ft_l_fa": {"method": "amid", "gamma": 0.0}}
    sections = {**params.sections, "more": ["also_l_ft_l_fa"]}
    keys = all_runs(configurations=more, sections=sections)
    assert keys["more"] < keys["ablation"]


def test_without_an_adversary_its_numbers_do_not_count() -> None:
    params = config.load(ROOT / "params.yaml")
    methods = {"amid": {**params.methods["amid"], "discriminator_learning_rate": 0.01}}
    methods = {**params.methods, **methods}
    assert new_runs(methods=methods) == {"warmup": 0, "baselines": 0, "amid": 3, "ablation": 6}


def test_the_baseline_does_not_depend_on_the_auxiliary_modalities() -> None:
    params = config.load(ROOT / "params.yaml")
    block = params.data["avlips"].model_copy(update={"auxiliary": ["text"]})
    changed = new_runs(data={**params.data, "avlips": block})
    assert changed["baselines"] == len(params.seeds)  # the teacher's, not the student's


def test_auxiliary_extractors_are_trained_one_a_modality() -> None:
    params = config.load(ROOT / "params.yaml")
    runs = auxiliary_runs(params, "avlips", "auxiliary", fingerprint)
    assert [run.configuration for run in runs] == ["audio", "text"]
    assert {run.spec.corpus for run in runs} == {"auxiliary"}


def test_an_unknown_section_is_named() -> None:
    params = config.load(ROOT / "params.yaml")
    with pytest.raises(ConfigError, match="'sectoin'"):
        section_runs("sectoin", params, "avlips", fingerprint)


def test_the_key_is_the_specification_and_nothing_else() -> None:
    params = config.load(ROOT / "params.yaml")
    run: PlannedRun = section_runs("amid", params, "avlips", fingerprint)[0]
    again = RunSpec.from_dict(run.spec.to_dict())
    assert again == run.spec
    assert again.key == run.spec.key
