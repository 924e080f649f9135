"""Which runs a change of a number trains anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from amid import config
from amid.config import DataSet, Params
from amid.core.types import RunSpec
from amid.errors import ConfigError
from amid.runs import plan
from amid.runs.plan import (
    PlannedRun,
    auxiliary_runs,
    configured_run,
    section_runs,
    warmup_runs,
    with_needed,
)
from amid.studies import adversarial, folds, load_params, selection, sensitivity, tune
from amid.studies.runs import all_runs as runs_of_a_stage
from amid.studies.runs import planned_runs, rows_from_elsewhere
from amid.studies.sections import OF_METHODS, stage_of
from tests.small import ROOT, project_params


def fingerprint(target: str, auxiliary: tuple[str, ...]) -> str:
    return f"features of {target} with {auxiliary}"


# What is counted below; what somebody added to the sections of params.yaml is not.
OWN = {
    "baselines": ["student_alone", "teacher_alone"],
    "amid": ["amid", "amid_tuned"],
    "ablation": [
        *("l_ft", "l_ft_l_fa", "amid_ccl", "amid_ccl_tau01", "fixed_teacher", "without_warmup"),
        *("without_d2", "without_dynamic"),
    ],
    "compared": ["crd", "gmc", "ccl", "crcd"],
}


def all_runs(**updates: object) -> dict[str, set[str]]:
    """Section -> keys of its runs, for the project's parameters with the sections `OWN` and with
    `updates`; "warmup": of the warm-ups of all."""
    params = project_params().model_copy(update={"sections": OWN, **updates})
    sections = {name: section_runs(name, params, "avlips", fingerprint) for name in params.sections}
    found = {name: {run.spec.key for run in runs} for name, runs in sections.items()}
    warmups = {run.parent.key for runs in sections.values() for run in runs if run.parent}
    return {"warmup": warmups, **found}


def new_runs(**updates: object) -> dict[str, int]:
    """Stage -> how many runs the change adds to what the store holds already."""
    known = set().union(*all_runs().values())
    return {name: len(keys - known) for name, keys in all_runs(**updates).items()}


def amid_keys(params: config.Params) -> set[str]:
    runs = section_runs("amid", params, "avlips", fingerprint)
    return {run.spec.key for run in runs if run.configuration == "amid"}


def test_how_many_runs_tables_1_2_4_and_5_take() -> None:
    counts = {name: len(keys) for name, keys in all_runs().items()}
    # warm-ups: L_FT, L_FT + L_FA (which AMID and its ablations share), CCL's loss twice, the fixed
    # teacher, AMID with tuned weights; three seeds each
    assert counts == {"warmup": 18, "baselines": 6, "amid": 6, "ablation": 24, "compared": 12}


def test_the_sections_train_what_is_counted_here() -> None:
    sections = project_params().sections
    for name, configurations in OWN.items():
        assert set(configurations) <= set(sections[name]), name


def test_every_configuration_of_a_section_has_a_run_a_seed() -> None:
    """Those that somebody added as well."""
    params = project_params()
    names = [name for section in params.sections.values() for name in section]
    for dataset in ("avlips", "grid"):
        runs = [
            run
            for section in params.sections
            for run in section_runs(section, params, dataset, fingerprint)
        ]
        wanted = [f"{name}/seed{seed}" for name in names for seed in params.seeds]
        assert [run.folder for run in runs] == wanted


def test_each_stage_trains_the_warm_ups_it_needs_and_no_others() -> None:
    """Those of the section `amid` have a stage of their own, which a table of methods waits for."""
    params = project_params()
    planning = params, "avlips", fingerprint
    shared = {run.spec.key for run in warmup_runs(*planning)}
    amid = planned_runs("amid", *planning)
    assert shared == {run.parent.key for run in amid}
    assert len(shared) == len(params.sections["amid"]) * len(params.seeds)
    ablation = planned_runs("ablation", *planning)
    needed = {run.parent.key for run in ablation if run.parent} - shared
    assert len(needed) == 4 * 3  # L_FT, CCL's loss twice, the fixed teacher
    planned = runs_of_a_stage(ablation, *planning)
    ahead, last = planned[: -len(ablation)], planned[-len(ablation) :]
    assert last == ablation
    teachers = {run.teacher.key for run in ablation if run.teacher}
    assert [run.spec.key for run in ahead[: len(teachers)]] == list(
        dict.fromkeys(run.teacher.key for run in ablation if run.teacher)
    )
    assert {run.spec.key for run in ahead[len(teachers) :]} == needed
    assert runs_of_a_stage(amid, *planning) == amid
    baselines = planned_runs("baselines", *planning)
    assert runs_of_a_stage(baselines, *planning) == baselines


def test_a_table_takes_rows_of_any_section() -> None:
    params = project_params()
    planning = ("avlips", fingerprint)
    assert rows_from_elsewhere(params) == []
    rows = ["student_alone", "crd", "gmc", "ccl", "crcd", "amid", "amid_tuned"]
    params = params.model_copy(
        update={"table1": rows, "sections": {**params.sections, "compared": rows[1:5]}}
    )
    changed = params.model_copy(
        update={
            "table1": [*params.table1, "fixed_teacher"],
            "table5": [*params.table5, "crd", "student_alone"],
            "figure3": ["amid", "l_ft"],
            "sections": {**params.sections, "more": ["amid_ccl"], "compared": ["crd", "ccl"]},
            "table4": ["amid", "amid_ccl"],
        }
    )
    changed = changed.model_copy(
        update={
            "sections": {
                **changed.sections,
                "ablation": ["l_ft", "l_ft_l_fa", "fixed_teacher", "without_d2"],
                "more": ["amid_ccl", "gmc", "crcd", "without_warmup", "without_dynamic"],
            }
        }
    )
    rows = rows_from_elsewhere(changed)
    # of Table 1, of Figure 3, of Table 5; the section `more` has no stage of its own
    assert set(rows) == {"gmc", "crcd", "fixed_teacher", "l_ft", "crd", "student_alone"} | {
        "amid_ccl",
        "without_warmup",
        "without_dynamic",
    }
    assert len(rows) == len(set(rows))
    trained = planned_runs("amid", changed, *planning)
    assert {run.configuration for run in trained} == {"amid", "amid_tuned", *rows}
    compared = {run.configuration for run in planned_runs("compared", changed, *planning)}
    assert compared == {"crd", "ccl"}
    # one run, wherever it stands
    own = {r.spec.key for r in section_runs("ablation", params, *planning)}
    again = {run.spec.key for run in trained if run.configuration == "fixed_teacher"}
    assert again <= own
    # and it is read where it was put
    assert stage_of(changed, "fixed_teacher", OF_METHODS) == "amid"
    assert stage_of(changed, "fixed_teacher") == "ablation"
    assert stage_of(changed, "gmc") == "amid"


def test_table_3_takes_the_baseline_and_every_setup_with_every_method_and_fold() -> None:
    params = project_params()
    table = params.table3.model_copy(update={"folds": [0, 1, 2, 3, 4]})
    params = params.model_copy(update={"table3": table})
    runs = folds.plan(params, "avlips", fingerprint)
    assert {"gmc", "crcd", "ccl", "amid"} <= set(params.table3.configurations)
    count = 5 + 3 * len(params.table3.configurations) * 5
    assert len({run.spec.key for run in runs}) == len(runs) == count
    assert len({run.folder for run in runs}) == len(runs)
    assert {run.spec.fold for run in runs} == {0, 1, 2, 3, 4}
    for setup in ("A-V", "L-V", "AL-V"):
        for fold in range(5):
            of_fold = [
                run.configuration
                for run in runs
                if run.folder.startswith(f"{setup}/") and run.spec.fold == fold
            ]
            assert of_fold == params.table3.configurations
    assert {run.spec.auxiliary for run in runs if run.folder.startswith("AL-V/")} == {
        ("audio", "text")
    }
    assert {run.spec.auxiliary for run in runs if run.configuration == "student_alone"} == {()}
    # one teacher a setup and fold, and the protocol's number of epochs for it as well
    teachers = with_needed(runs)[: -len(runs)]
    assert len(teachers) == 3 * 5
    assert {run.spec.training["epochs"] for run in teachers} == {params.table3.training["epochs"]}
    assert folds.plan(params, "grid", fingerprint) == []


def block_with(params: config.Params, **changes: object) -> config.Params:
    block = params.data["avlips"].model_copy(update=changes)
    return params.model_copy(update={"data": {**params.data, "avlips": block}})


def test_table_3_trains_a_data_set_by_its_own_numbers() -> None:
    params = block_with(project_params(), training={"epochs": 48, "batch_size": 32})
    for run in with_needed(folds.plan(params, "avlips", fingerprint)):
        training = run.spec.training
        assert (training["epochs"], training["batch_size"]) == (48, 32)
        assert training["learning_rate"] == params.table3.training["learning_rate"]
        assert training["milestones"] == [36]
    joint = next(run for run in folds.plan(params, "avlips", fingerprint) if "amid" in run.folder)
    assert joint.spec.options["warmup_epochs"] == 12


@pytest.mark.parametrize(
    ("setups", "alone"),
    [
        ({"A-V": ["audio"], "AL-V": ["audio", "text"]}, "V"),
        ({"audio-video": ["audio"]}, "video"),
        ({"sound": ["audio"], "words": ["text"]}, "video"),
        ({"A-V": ["audio"], "L-T": ["text"]}, "video"),
        ({"A-V": ["audio"], "sound": ["audio"]}, "video"),
        ({"video": ["audio"], "words": ["text"]}, "video_alone"),
    ],
)
def test_the_baselines_setup_in_table_3_has_the_targets_name(setups: dict, alone: str) -> None:
    params = block_with(project_params(), setups=setups)
    assert folds.target_alone(params.data["avlips"]) == alone
    names = {run.folder.split("/")[0] for run in folds.plan(params, "avlips", fingerprint)}
    assert names == {alone, *setups}
    note = folds.layout(params).note
    assert f"Setups of avlips: {alone}: video and no other modality; " in note
    for setup, seen in setups.items():
        assert f"{setup}: video and {' and '.join(seen)}" in note


@pytest.mark.parametrize("epochs", [1, 2, 3, 10, 24, 60, 301])
def test_schedules_move_along_with_the_epochs(epochs: int) -> None:
    """A quarter of warm-up and a fall at three quarters, halves rounded up."""
    params = block_with(project_params(), training={"epochs": epochs})
    run = configured_run(params, "avlips", "amid", 0, fingerprint)
    warmup, falls = (int(share * epochs + 0.5) for share in (0.25, 0.75))
    assert run.spec.options["warmup_epochs"] == warmup
    assert run.spec.training["milestones"] == ([falls] if falls < epochs else [])
    assert (run.parent.training["epochs"] if run.parent else 0) == warmup


def test_the_committed_shares_are_the_epochs_they_were() -> None:
    """And a share and the epochs that it stands for are one run."""
    params = project_params()
    run = configured_run(params, "avlips", "amid", 0, fingerprint)
    assert run.spec.options["warmup_epochs"] == 6
    assert (run.spec.training["epochs"], run.spec.training["milestones"]) == (24, [18])
    of_fold = next(r for r in folds.plan(params, "avlips", fingerprint) if "amid" in r.folder)
    assert of_fold.spec.options["warmup_epochs"] == 2
    assert of_fold.spec.training["milestones"] == [6]
    whole = block_with(params, training={"warmup_epochs": 6, "milestones": [18]})
    assert configured_run(whole, "avlips", "amid", 0, fingerprint) == run


@pytest.mark.parametrize("written", ["0", "0.0", "-0.0", "0e5"])
def test_a_number_is_one_run_however_it_is_written(written: str, tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    new = f"{{method: amid, mismatch_ratio: {written}, gamma: {written}, alpha: 4}}"
    (tmp_path / "params.yaml").write_text(text.replace("{method: amid, gamma: 0.0}", new))
    for name in ("dataset", "pipelines"):
        shutil.copytree(ROOT / name, tmp_path / name)
    params = load_params(tmp_path / "params.yaml")
    run = configured_run(params, "avlips", "l_ft_l_fa", 0, fingerprint)
    committed = project_params()
    assert run == configured_run(committed, "avlips", "l_ft_l_fa", 0, fingerprint)
    assert run.spec.key == configured_run(committed, "avlips", "l_ft_l_fa", 0, fingerprint).spec.key


def test_a_fixed_teacher_is_the_teacher_alone_of_the_same_seed() -> None:
    params = project_params()
    alone = {
        run.spec.seed: run.spec
        for run in section_runs("baselines", params, "avlips", fingerprint)
        if run.configuration == "teacher_alone"
    }
    distilled = [
        run
        for run in section_runs("compared", params, "avlips", fingerprint)
        if run.configuration in ("crd", "crcd")
    ]
    assert len(distilled) == 6
    for run in distilled:
        assert run.teacher == alone[run.spec.seed]
        assert run.spec.teacher == run.teacher.key
    others = [
        run
        for run in section_runs("compared", params, "avlips", fingerprint)
        if run.configuration in ("gmc", "ccl")
    ]
    assert [(run.teacher, run.spec.teacher) for run in others] == [(None, None)] * 6


def test_sample_selection_shares_the_run_that_keeps_everything() -> None:
    params = project_params()
    grid = selection.grid(params)
    assert len(grid) == 3 * (1 + 3 * 3)
    assert selection.folder_name("dissect", 0.25, 0.4) == "dissect_r25_m40"
    runs = selection.plan(params, "avlips", fingerprint)
    assert len({run.spec.key for run in runs}) == len(grid) * len(params.seeds)
    whole = {r.spec.key for r in runs if r.folder.startswith("all_r100_m0/")}
    assert whole == amid_keys(params)
    shares = {run.spec.mismatch_ratio for run in runs}
    assert shares == {0.0, 0.2, 0.4}


def test_numbers_of_a_selection_without_effect_do_not_count() -> None:
    params = project_params()

    def key(configuration: str, **selection: object) -> str:
        chosen = params.selection.model_copy(update=selection)
        changed = params.model_copy(update={"selection": chosen})
        return configured_run(changed, "avlips", configuration, 0, fingerprint).spec.key

    assert key("amid") == key("amid", momentum=0.5) == key("amid", name="dissect", ratio=1.0)
    assert key("amid", name="random") == key("amid", name="random", warmup_epochs=9)
    dissect = key("amid", name="dissect")
    assert dissect == key("amid", name="dissect", momentum=0.5)
    assert dissect != key("amid", name="dissect", warmup_epochs=9)
    assert dissect != key("amid", name="dissect", version="momentum")
    assert key("student_alone") == key("student_alone", name="dissect")  # it compares no pairs


def test_mismatched_pairs_concern_whoever_sees_the_auxiliary_modalities() -> None:
    params = project_params()
    block = params.data["avlips"].model_copy(update={"mismatch_ratio": 0.2})
    changed = new_runs(data={**params.data, "avlips": block})
    assert changed == {"warmup": 18, "baselines": 3, "amid": 6, "ablation": 24, "compared": 12}


def test_sensitivity_shares_the_default_and_the_warm_ups_of_gamma() -> None:
    params = project_params()
    assert len(sensitivity.grid(params)) == 3 * 6
    runs = sensitivity.plan(params, "avlips", fingerprint)
    assert len(runs) == 3 * 6 * 3
    assert len({run.spec.key for run in runs}) == (3 * 6 - 2) * 3  # the default stands three times
    amid = amid_keys(params)
    for default in ("alpha_4", "beta_1.5", "gamma_1"):
        assert {r.spec.key for r in runs if r.folder.startswith(f"{default}/")} == amid
    warm = {run.spec.key for run in warmup_runs(params, "avlips", fingerprint)}
    for run in runs:
        own = run.folder.startswith(("alpha", "beta")) and run.spec.key not in amid
        assert (run.parent is None) == own
        assert own or run.parent.key in warm


def test_a_changed_swept_value_trains_its_own_runs_only() -> None:
    params = project_params()

    def keys(**changes: object) -> set[str]:
        table = params.table6.model_copy(update=changes)
        changed = params.model_copy(update={"table6": table})
        return {run.spec.key for run in sensitivity.plan(changed, "avlips", fingerprint)}

    before = keys()
    assert len(keys(alpha=[3.65, *params.table6.alpha[1:]]) - before) == len(params.seeds)
    wide = keys(wide=[0, 1, 2, 4])  # alpha 4 and gamma 1 are there already
    assert len(wide - before) == (3 * 4 - 2) * len(params.seeds)


def test_readings_of_the_adversarial_term_share_their_warm_ups() -> None:
    params = project_params()
    runs = adversarial.plan(params, "avlips", fingerprint)
    study = params.table_adversarial
    assert len({run.spec.key for run in runs}) == (1 + len(study.variants)) * len(study.seeds)
    assert not {run.spec.seed for run in runs} & {*params.seeds, *params.tune.seeds}
    assert len({run.parent.key for run in runs}) == len(study.seeds)
    assert runs[0].folder.startswith("without/")
    assert {run.spec.options["gamma"] for run in runs if run.folder.startswith("without/")} == {0.0}


def test_the_search_uses_seeds_apart_from_the_reported_ones_and_one_budget() -> None:
    params = project_params()
    runs = tune.plan(params, "avlips", fingerprint)
    assert not {run.spec.seed for run in runs} & set(params.seeds)
    counts = {len(trials) for trials in params.tune.trials.values()}
    assert len(counts) == 1
    assert len(runs) == len(params.tune.trials) * counts.pop() * len(params.tune.seeds)
    # spelt out, so that what is chosen does not change what was tried
    assert all(len({tuple(t) for t in trials}) == 1 for trials in params.tune.trials.values())
    assert len({run.folder for run in runs}) == len(runs)


NONE = {"compared": 0}  # none of the compared methods reads alpha, beta, gamma


def test_alpha_trains_what_depends_on_it_and_nothing_else() -> None:
    assert new_runs(alpha=4.1) == {"warmup": 15, "baselines": 0, "amid": 3, "ablation": 24} | NONE


def test_beta_leaves_l_ft_and_the_fixed_teacher_alone() -> None:
    assert new_runs(beta=1.6) == {"warmup": 9, "baselines": 0, "amid": 3, "ablation": 18} | NONE


def test_gamma_leaves_the_warm_ups_alone() -> None:
    expected = {"warmup": 0, "baselines": 0, "amid": 6, "ablation": 18}
    assert new_runs(gamma=1.1) == expected | NONE


def test_another_seed_trains_its_own_runs_only() -> None:
    expected = {"warmup": 6, "baselines": 2, "amid": 2, "ablation": 8, "compared": 4}
    assert new_runs(seeds=[0, 1, 2, 3]) == expected


@pytest.mark.parametrize("field", ["checkpoint_every", "auxiliary_seed"])
def test_numbers_that_change_no_result_train_nothing(field: str) -> None:
    params = project_params()
    training = params.training.model_copy(update={field: 7})
    assert set(new_runs(training=training, workers=2).values()) == {0}


def test_l_ft_l_fa_and_amid_go_on_from_the_same_warm_up() -> None:
    params = project_params()
    runs = [
        run
        for section in ("amid", "ablation")
        for run in section_runs(section, params, "avlips", fingerprint)
        if run.configuration in ("amid", "l_ft_l_fa")
    ]
    parents = {(run.spec.seed, run.parent.key) for run in runs}
    assert len(parents) == len(params.seeds)
    assert {run.parent.training["epochs"] for run in runs} == {params.training.warmup}


def test_a_fixed_order_of_equal_specifications_is_one_run() -> None:
    params = project_params()
    more = {**params.configurations, "also_l_ft_l_fa": {"method": "amid", "gamma": 0.0}}
    sections = {**params.sections, "more": ["also_l_ft_l_fa"]}
    keys = all_runs(configurations=more, sections=sections)
    assert keys["more"] < keys["ablation"]


def test_without_an_adversary_its_numbers_do_not_count() -> None:
    params = project_params()
    methods = {"amid": {**params.methods["amid"], "discriminator_learning_rate": 0.01}}
    methods = {**params.methods, **methods}
    expected = {"warmup": 0, "baselines": 0, "amid": 6, "ablation": 18}
    assert new_runs(methods=methods) == expected | NONE


def test_the_baseline_does_not_depend_on_the_auxiliary_modalities() -> None:
    params = project_params()
    block = params.data["avlips"].model_copy(update={"auxiliary": ["text"]})
    changed = new_runs(data={**params.data, "avlips": block})
    assert changed["baselines"] == len(params.seeds)  # the teacher's, not the student's


def test_auxiliary_extractors_are_trained_one_a_modality() -> None:
    params = project_params()
    runs = auxiliary_runs(params, "avlips", "auxiliary", fingerprint)
    assert [run.configuration for run in runs] == ["audio", "text"]
    assert {run.spec.corpus for run in runs} == {"auxiliary"}


def test_an_unknown_section_is_named() -> None:
    params = project_params()
    with pytest.raises(ConfigError, match="'sectoin'"):
        section_runs("sectoin", params, "avlips", fingerprint)


def test_the_key_is_the_specification_and_nothing_else() -> None:
    params = project_params()
    run: PlannedRun = section_runs("amid", params, "avlips", fingerprint)[0]
    again = RunSpec.from_dict(run.spec.to_dict())
    assert again == run.spec
    assert again.key == run.spec.key


def test_a_run_on_a_gpu_has_the_gpu_in_its_key(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(plan, "GPUS", tmp_path)
    params = project_params()
    training = params.training
    numbers = plan._training(training, 3, *trained_by(params, "gru"), teacher=True)
    assert not {"device", "gpu"} & numbers.keys()
    monkeypatch.setattr(plan, "_device", lambda wanted, encoder: "cuda")
    film = trained_by(params, "r2plus1d")
    assert plan._training(training, 3, *film, teacher=True)["gpu"] == "unknown"
    for number, model in enumerate(("NVIDIA H200", "NVIDIA A100", "NVIDIA H200")):
        (tmp_path / str(number)).mkdir()
        text = f"Model: \t\t {model}\nIRQ: 5\n"
        (tmp_path / str(number) / "information").write_text(text)
    found = plan._training(training, 3, *film, teacher=True)
    assert (found["device"], found["gpu"]) == ("cuda", "NVIDIA A100, NVIDIA H200")


def trained_by(params: Params, encoder: str) -> tuple[DataSet, str]:
    """avlips's block, its pictures going to another encoder."""
    block = params.dataset("avlips")
    return block.model_copy(update={"encoders": {**block.encoders, "video": encoder}}), "video"


def test_an_augmentation_of_one_extractors_features_has_its_numbers_and_others_have_none() -> None:
    params = project_params()
    moved = {"shift": 0.05, "zoom": 0.1, "mirror": 0.5}
    changes = {"augmentation": {"picture_crop": moved, "jitter": {"noise": 0.1}}}
    training = params.training.model_copy(update=changes)
    block = params.dataset("avlips").model_copy(
        update={"encoders": {"video": "gru", "audio": "gru", "text": "mlp"}}
    )
    of_pictures, of_sound = (
        plan._training(training, 3, block, modality, teacher=True)["augmentation"]
        for modality in ("video", "audio")
    )
    picture = {"size": [32, 32], "coefficients": 64, "differences": True}
    assert of_pictures["picture_crop"] == {**moved, **picture}
    assert of_sound == {"jitter": {"noise": 0.1}}


def test_augmentations_that_do_not_fit_the_features_are_left_out_and_change_the_code() -> None:
    params = project_params()
    mixed = {"share": 0.5, "probability": 1.0}
    chosen = {"crop": {"share": 0.1}, "jitter": {"noise": 0.1}, "cutmix": mixed}
    changes = {"augmentation": chosen, "schedule": "cosine"}
    training = params.training.model_copy(update=changes)
    of_sequences, of_vectors, of_frames = (
        plan._training(training, 3, *trained_by(params, encoder), teacher=True)
        for encoder in ("gru", "mlp", "r2plus1d")
    )
    assert of_sequences["augmentation"] == chosen
    assert of_vectors["augmentation"] == {"jitter": {"noise": 0.1}}
    assert "augmentation" not in of_frames
    codes = [
        plan.code_of("amid", ["gru"], numbers.get("augmentation", ()))
        for numbers in (of_sequences, of_vectors, {})
    ]
    assert len(set(codes)) == 3
