"""Every mistake in params.yaml is one sentence that names the key."""

import re
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from amid import config
from amid.config.reading import REQUESTED
from amid.errors import ConfigError
from amid.methods import METHODS
from amid.studies import load_params, load_results_params
from tests.params import change, merge, write_params

DATASETS = "datasets: [avlips, grid]\n"
OWN_DATA = {"avlips", "grid", "iemocap", "ucf51", "activitynet"}


@pytest.fixture
def edited(root: Path, tmp_path: Path):
    """Loads the project's parameters with one piece of text replaced, the first of its kind."""

    def load(old: str, new: str) -> config.Params:
        edited_here = [
            root / "dataset" / f"{name}.yaml" for name in ("avlips", "grid", "avsentences")
        ]
        files = [root / "params.yaml", *edited_here, *sorted(root.glob("pipelines/*/params.yaml"))]
        files += sorted(set(root.glob("dataset/*.yaml")) - set(edited_here))
        texts = {path.relative_to(root): path.read_text() for path in files}
        place = next(place for place, text in texts.items() if old in text)
        texts[place] = texts[place].replace(old, new, 1)
        if "datasets" not in old:
            used = re.sub(
                r"^datasets:.*\n(- .*\n)*", DATASETS, texts[Path("params.yaml")], flags=re.M
            )
            texts[Path("params.yaml")] = used
        for path, text in texts.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return load_params(tmp_path / "params.yaml")

    return load


@pytest.fixture
def changed(tmp_path: Path):
    """Loads the project's parameters with keys added or replaced, whatever is there already."""

    def load(changes: dict) -> config.Params:
        return load_params(write_params(tmp_path, lambda values: merge(values, changes)))

    return load


def avlips(**keys: object) -> dict:
    return {"data": {"avlips": keys}}


def test_the_committed_parameters_are_valid(root: Path) -> None:
    params = load_params(root / "params.yaml")
    assert (params.alpha, params.beta, params.gamma) == (4.0, 1.5, 1.0)
    assert params.datasets[0] == "avlips"
    assert params.seeds == [0, 1, 2]


def test_params_yaml_spells_every_number_out(root: Path) -> None:
    """A default that is not in the file would be a number nobody sees. Who adds a data set or an
    extractor may leave out what the code has a default for, but not in `extractors`."""
    params = load_params(root / "params.yaml")
    assert set(params.data) >= OWN_DATA
    for name in OWN_DATA:
        options = params.data[name].options
        assert options.model_fields_set == set(type(options).model_fields), name
    assert set(params.extractors) >= {"frame_dct", "log_mel", "ngrams"}
    spelt = set()
    for name, block in params.data.items():
        for modality, (extractor, options) in block.extract.items():
            if extractor in params.extractors:
                missing = set(type(options).model_fields) - options.model_fields_set
                assert not missing, (name, modality, missing)
                spelt.add(extractor)
    assert spelt >= {"frame_dct", "log_mel", "ngrams"}
    for method in METHODS:  # options refuses a number that is missing
        assert method in params.methods, method
        given = set(params.methods[method]) | {"alpha", "beta", "gamma"}
        assert set(type(params.options(method)).model_fields) <= given, method


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("alpha: 4.0", "alhpa: 4.0", ["'alhpa'", "did you mean 'alpha'?"]),
        ("alpha: 4.0", "alpha: -1", ["'alpha' is -1", "greater than or equal to 0"]),
        ("alpha: 4.0", "alpha: '4.0'", ["'alpha' is '4.0'", "number"]),
        ("alpha: 4.0", "alpha: .nan", ["'alpha'"]),
        ("seeds: [0, 1, 2]", "seeds: [0, 0]", ["'seeds'", "twice"]),
        ("target: video", "target: vdeo", ["dataset/avlips.yaml: 'extract'", "vdeo"]),
        (
            "auxiliary: [audio]",
            "auxiliary: [video]",
            ["dataset/avlips.yaml: 'auxiliary'", "target"],
        ),
        ("extractor: frame_dct", "extractor: frame_dtc", ["'frame_dtc'", "frame_dct"]),
        ("frames: 8", "frames: 0", ["extractors.frame_dct.frames", "is 0"]),
        ("bands: 40", "band: 40", ["extractors.log_mel.band", "did you mean 'bands'?"]),
        ("warmup_epochs: 0.25", "warmup_epochs: 24", ["'training'", "warmup_epochs", "24"]),
        ("warmup_epochs: 0.25", "warmup_epochs: 0.99", ["'training' has 24 warm-up epochs"]),
        ("warmup_epochs: 0.25", "warmup_epochs: 1.5", ["training.warmup_epochs' is 1.5", "share"]),
        (
            "warmup_epochs: 0.25",
            "warmup_epochs: -1",
            ["training.warmup_epochs' is -1", "0 or more"],
        ),
        ("warmup_epochs: 0.25", "warmup_epochs: true", ["training.warmup_epochs' is True"]),
        ("milestones: [0.75]", "milestones: [1.0]", ["training.milestones.0' is 1.0", "0.75"]),
        (
            "milestones: [0.75]",
            "milestones: [0.5, 0]",
            ["training.milestones.1' is 0", "1 or more"],
        ),
        ("milestones: [0.75]", "milestones: ['18']", ["training.milestones.0' is '18'"]),
        ("temperature: 0.1", "temperature: 0.0", ["temperature", "greater than 0"]),
        ("temperature: 0.1", "temprature: 0.1", ["temprature", "did you mean 'temperature'?"]),
        ("{method: teacher}", "{method: techer}", ["'techer'", "did you mean 'teacher'?"]),
        ("l_ft: {method: amid, beta: 0.0", "l_ft: {method: amid, beta: -2.0", ["l_ft.beta"]),
        ("amid: [amid,", "amid: [amidd,", ["'amidd'", "sections.amid"]),
        ("{method: teacher}", "{metod: teacher}", ["teacher_alone", "`method`"]),
        ("auxiliary: [audio]", "auxiliary: []", ["dataset/avlips.yaml: 'auxiliary'"]),
        (
            "{method: amid, contrastive: ccl}",
            "{method: amid, training: {warmup_epochs: 5, epochs: 5}}",
            ["amid_ccl_tau01.training", "of 5 epochs"],
        ),
        ("box: [0.6389, 0.8333", "box: [92, 120", ["extract.video", "shares"]),
        ("baselines: [student_alone", "baselines: [l_ft", ["sections.baselines", "'l_ft'"]),
        ("dim: 128", "dim: 12.5", ["network.dim", "12.5"]),
        ("weight: 0.8", "wieght: 0.8", ["methods.crd.wieght", "did you mean 'weight'?"]),
        ("negatives: 16384", "negatives: 0", ["methods.crd.negatives", "is 0"]),
        ("table1: [student_alone, crd", "table1: [student_alone, crdd", ["'crdd'", "table1"]),
        ("protocol: paper", "protocol: papr", ["'training.protocol'", "'paper' or 'strong'"]),
        ("    ema: 0.05", "    emma: 0.05", ["training.strong.emma", "did you mean 'ema'?"]),
        ("    ema: 0.05", "    ema: 3.0", ["'training.strong.ema' is 3.0"]),
        ("jitter: {noise: 0.05}", "jiter: {noise: 0.05}", ["'jiter'", "did you mean 'jitter'?"]),
        ("jitter: {noise: 0.05}", "jitter: {nois: 0.05}", ["augmentation.jitter.nois", "'noise'?"]),
        ("jitter: {noise: 0.05}", "jitter: {noise: -1.0}", ["augmentation.jitter.noise", "-1.0"]),
        (
            "jitter: {noise: 0.05}",
            "mixup: {share: 0.6, probability: 1.0}",
            ["'augmentation.mixup.share' is 0.6", "less than or equal to 0.5"],
        ),
        (
            "jitter: {noise: 0.05}",
            "cutmix: {share: 0.5}",
            ["'augmentation.cutmix.probability' is missing"],
        ),
        ("kernel: 5, dropout: 0.3", "kernel: 4, dropout: 0.3", ["resnet.kernel", "odd"]),
        (
            "{method: amid, contrastive: ccl}",
            "{method: amid, training: {protocol: strong}}",
            ["amid_ccl_tau01.training", "protocol"],
        ),
        ("figure3: [amid, ccl]", "figure3: [amid]", ["'figure3'", "at least 2"]),
        ("baseline: student_alone", "baseline: alone", ["'alone'", "table3.baseline"]),
        ("{epochs: 8,", "{epochs: 3, warmup_epochs: 3,", ["table3.training"]),
        ("{epochs: 8,", "{epoch: 8,", ["unknown key 'table3.training.epoch'", "'epochs'"]),
        (
            "amid: {method: amid}",
            "amid: {method: [amid]}",
            ["configurations.amid.method", "string"],
        ),
        ("amid: {method: amid}", "amid: {method: 3}", ["'configurations.amid.method' is 3"]),
        ("amid: {method: amid}", "amid: [amid]", ["'configurations.amid' is ['amid']"]),
        (
            "amid: {method: amid}",
            "amid: {method: amid, mismatch_ratio: 2}",
            ["'configurations.amid.mismatch_ratio' is 2", "less than 1"],
        ),
        (
            "amid: {method: amid}",
            "amid: {method: amid, mismatch_ratio: abc}",
            ["'configurations.amid.mismatch_ratio' is 'abc'", "number"],
        ),
        (
            "amid: {method: amid}",
            "amid: {method: amid, mismatch_ratio: true}",
            ["'configurations.amid.mismatch_ratio' is True", "number"],
        ),
        (
            "amid: {method: amid}",
            "amid: {method: amid, mismatched: 0.2}",
            ["unknown key 'configurations.amid.mismatched'"],
        ),
        (
            "amid: {method: amid}",
            "amid: {method: amid, training: }",
            ["'configurations.amid.training' is None", "dictionary"],
        ),
        (
            "amid: {method: amid}",
            "amid: {method: amid, training: 5}",
            ["'configurations.amid.training' is 5"],
        ),
        (
            "amid: {method: amid}",
            "amid: {method: amid, training: {epoch: 5}}",
            ["unknown key 'configurations.amid.training.epoch'", "'epochs'"],
        ),
        (
            "amid: {method: amid}",
            "amid: {method: amid, selection: }",
            ["'configurations.amid.selection' is None"],
        ),
        (
            "amid: {method: amid}",
            "amid: {method: amid, selection: dissect}",
            ["'configurations.amid.selection' is 'dissect'"],
        ),
        (
            "amid: {method: amid}",
            "amid: {method: amid, selection: {ratio: 2}}",
            ["'configurations.amid.selection.ratio' is 2"],
        ),
        ("alpha: [3.7, 3.8", "alpha: [3.7, 3.7", ["'table6.alpha'", "twice"]),
        ("alpha: [3.7", "alpha: [-3.7", ["table6.alpha", "greater than or equal to 0"]),
        ("table5: [amid,", "table5: [kd,", ["'table5' names 'kd'", "add it to one"]),
        ("figure3: [amid, ccl]", "figure3: [amid, extra]", ["'extra'", "figure3"]),
        ("table5: [amid,", "table5: [amd,", ["'amd'", "table5", "did you mean 'amid'?"]),
        ("figure5: [amid,", "figure5: [amd,", ["'amd'", "figure5"]),
        ("power: 0.8", "power: 1.0", ["table_seeds.power", "less than 1"]),
        ("without: l_ft_l_fa", "without: nothing", ["'nothing'", "table_adversarial.without"]),
        ("{gamma_ramp: 18,", "{gamma_rmp: 18,", ["gamma_rmp", "did you mean 'gamma_ramp'?"]),
        ("folds: all ", "folds: [0, 0] ", ["'table3.folds'", "twice"]),
        ("folds: all ", "folds: some ", ["'table3.folds' is 'some'", "`all` or a list"]),
        ("folds: all ", "folds: [] ", ["'table3.folds' is []", "`all` or a list"]),
        ("folds: all ", "folds: [0.0] ", ["'table3.folds' is [0.0]", "`all` or a list"]),
        ("L-V: [text]", "L-V: [txt]", ["'txt'", "dataset/avlips.yaml: 'extract'"]),
        ("L-V: [text]", "L-V: [video]", ["setups.L-V", "target modality"]),
        ("ratio: 0.5", "ratio: 0.0", ["selection.ratio", "greater than 0"]),
        ("name: all", "name: disect", ["selection.name", "'dissect'"]),
        ("dissect: {name: dissect}", "dissect: {name: dissect, rtio: 1}", ["rtio", "selection"]),
        ("    gmc: [{temperature: 0.1}, ", "    gmc: [", ["gmc 3", "one tuning budget"]),
        ("{temperature: 0.3}, ", "{temperatur: 0.3}, ", ["temperatur", "configurations.gmc"]),
        ("ratios: [1.0, 0.75", "ratios: [0.75", ["table_selection.ratios", "1.0"]),
        ("compared: [crd,", "compared: [l_ft,", ["sections.compared", "'l_ft'"]),
        (
            "mismatch_ratios: [0.0, 0.2, 0.4]",
            "mismatch_ratios: [1.0]",
            ["all pairs wrong"],
        ),
        (
            "batch_size: 64\n    le",
            "batch_size: 1\n    le",
            ["table7.training.batch_size", "batch of one"],
        ),
        (
            "batch_size: 64\n    le",
            "batch_size: 3\n    le",
            ["table7.ratios", "0.25 of a batch of 3", "one pair"],
        ),
        ("{avsentences: [audio, text]}", "{avsentences: [audio]}", ["table7.mod", "two different"]),
        ("{avsentences: [audio, text]}", "{avsentences: [audio, txt]}", ["'txt'", "mean 'text'"]),
        (
            "datasets: [avsentences]",
            "datasets: [avsentence]",
            ["no data set 'avsentence'", "avsentences"],
        ),
        ("method: clip", "method: clap", ["'clap'", "did you mean 'clip'?"]),
        ("{temperature: 0.07}  #", "{temperture: 0.07}  #", ["table7.options.temperture"]),
        (
            "clipscore: {name: clipscore}\n",
            "clipscore: {name: clip_score}\n",
            ["table7.rules.clipscore"],
        ),
        ("warmup_epochs: 3  ", "warmup_epochs: 60  ", ["table7.training", "leaves none"]),
        ("figure_ratio: 0.5  ", "figure_ratio: 0.4  ", ["table7.figure_ratio", "not among"]),
        ("oracle: {name: oracle}  ", "all: {name: oracle}  ", ["table7.rules", "always there"]),
        (
            "datasets: [avsentences_small]",
            "datasets: [avsentences]",
            ["table7_small.datasets", "should be 'avsentences_small'"],
        ),
        (
            "datasets: [avlips",
            "datasets: [avsentences_small, avlips",
            ["'datasets' names 'avsentences_small'", "copy dataset/avsentences_small.yaml"],
        ),
        (
            "datasets: [avsentences]",
            "datasets: [avsentences_small]",
            ["'table7.datasets' names 'avsentences_small'", "'table7_small' make"],
        ),
        (
            "student_alone: {method: baseline}",
            "student_alone: {method: baseline, selection: {name: random}}",
            ["student_alone", "compares no pairs"],
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(edited, old, new, words) -> None:
    with pytest.raises(ConfigError) as caught:
        edited(old, new)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"datasets": ["avlip"]},
            ["dataset/avlip.yaml is missing", "there are: activitynet, avlips, "],
        ),
        ({"datasets": []}, ["'datasets'"]),
        (avlips(training={"batch": 32}), ["dataset/avlips.yaml: unknown key 'training.batch'"]),
        (avlips(training={"batch_size": 0}), ["dataset/avlips.yaml: 'training.batch_size' is 0"]),
        (avlips(encoders={"video": "mlp"}), ["encoders.video", "sequence"]),
        (avlips(mismatch_ratio=1.0), ["dataset/avlips.yaml: 'mismatch_ratio' is", "less than 1"]),
    ],
)
def test_a_mistake_in_a_key_that_may_be_given_is_one_sentence(changed, changes, words) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(changes)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("section", "left_out", "words"),
    [
        (
            "compared",
            {"crd"},
            ["'table1' names 'crd'; 'student.configurations' names 'crd', which no entry of"],
        ),
        (
            "compared",
            {"gmc", "ccl", "crcd"},
            [
                "'table1' names 'gmc', 'ccl', 'crcd'; 'figure3' names 'ccl'; 'student.conf",
                "add them to one, such as 'sections.amid', or take them out of these lists.",
            ],
        ),
        (
            "ablation",
            {"without_dynamic"},
            ["'table5' names 'without_dynamic'; 'table_seeds.configurations' names 'without_dyn"],
        ),
        ("compared", {"crcd"}, ["'table1' names 'crcd'; 'student.configurations' names 'crcd'"]),
    ],
)
def test_rows_that_no_section_trains_are_told_with_all_lists_that_name_them(
    changed, root: Path, section: str, left_out: set[str], words: list[str]
) -> None:
    trained = load_params(root / "params.yaml").sections[section]
    assert left_out < set(trained)
    with pytest.raises(ConfigError) as caught:
        changed({"sections": {section: [name for name in trained if name not in left_out]}})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_missing_key_is_named(edited) -> None:
    with pytest.raises(ConfigError, match="'gamma' is missing"):
        edited("gamma: 1.0", "# gamma: 1.0")


def test_text_that_is_no_yaml_is_one_sentence(edited) -> None:
    with pytest.raises(ConfigError, match="not valid YAML") as caught:
        edited("alpha: 4.0", "alpha: [4.0")
    assert "\n" not in str(caught.value)


def test_a_number_such_as_1e_3_is_read_as_dvc_reads_it(edited) -> None:
    params = edited("learning_rate: 0.003", "learning_rate: 3e-3")
    assert params.training.learning_rate == 0.003


def test_overrides_of_a_data_set_reach_its_training_alone(changed) -> None:
    params = changed(avlips(training={"batch_size": 32}))
    assert params.training_of("avlips").batch_size == 32
    assert params.training_of("grid").batch_size == params.training.batch_size == 64


def test_weights_at_top_level_reach_the_method_unless_overridden(edited) -> None:
    params = edited("alpha: 4.0", "alpha: 3.5")
    options = params.resolved("amid").options
    assert (options.alpha, options.gamma) == (3.5, 1.0)
    options = params.resolved("l_ft_l_fa").options
    assert (options.alpha, options.gamma) == (3.5, 0.0)


def test_the_protocol_of_a_block_holds_for_it_alone_and_its_own_numbers_come_last(changed) -> None:
    of_grid = {"training": {"protocol": "strong", "epochs": 77}, "auxiliary_training": {"ema": 0.0}}
    params = changed({"data": {"grid": of_grid}})
    strong = params.training.strong
    grid, auxiliary = params.training_of("grid"), params.training_of("grid", auxiliary=True)
    assert (grid.epochs, grid.schedule, grid.choose) == (77, "cosine", "last")
    assert grid.ema == strong["ema"] > 0
    assert (auxiliary.epochs, auxiliary.ema, auxiliary.schedule) == (77, 0.0, "cosine")
    assert params.training_of("avlips") == params.training
    everywhere = changed({"training": {"protocol": "strong"}})
    assert everywhere.training_of("avlips").epochs == strong["epochs"]


def test_a_block_changes_the_strong_protocol_alone(changed, root: Path) -> None:
    own = {"strong": {"epochs": 50, "augmentation": {"jitter": {"noise": 0.1}}}}
    params = changed({"data": {"grid": {"training": own}}})
    assert params.training_of("grid") == params.training
    strong = params.training_of("grid", study={"protocol": "strong"})
    assert (strong.epochs, strong.augmentation) == (50, {"jitter": {"noise": 0.1}})
    assert strong.ema == params.training.strong["ema"]
    elsewhere = params.training_of("utd_mhad", study={"protocol": "strong"})
    assert elsewhere.augmentation == params.training.strong["augmentation"]
    committed = load_params(root / "params.yaml").training_of(
        "avlips", study={"protocol": "strong"}
    )
    assert set(committed.augmentation) == {"scaling", "jitter"}
    for wrong in ({"strong": {"epohcs": 50}}, {"strong": 3}, {"strong": {"epochs": 8}}):
        with pytest.raises(ConfigError, match=r"training.*grid|grid.*training"):
            changed({"data": {"grid": {"training": wrong}}}).dataset("grid")


def test_the_strong_protocol_costs_at_most_twice_the_epochs_of_the_papers(root: Path) -> None:
    training = load_params(root / "params.yaml").training
    assert training.strong["epochs"] <= 2 * training.epochs


# ---------------------------------------------------------------------------------- other files


def test_each_data_set_is_a_file_and_each_of_ten_is_sound(root: Path) -> None:
    params = load_params(root / "params.yaml")
    names = {path.stem for path in (root / "dataset").glob("*.yaml")}
    assert names == {*params.data, *params.unusable} >= OWN_DATA
    assert not OWN_DATA & params.unusable.keys()


WRONG = {
    "no YAML": ("target: [", "dataset/mine.yaml is not valid YAML"),
    "no mapping": ("- target\n", "dataset/mine.yaml holds no keys"),
    "nothing in it": ("", "dataset/mine.yaml holds no keys"),
    "nested as it was in params.yaml": ("mine: {source: own}", "unknown key 'mine'"),
    "misspelt": ("source: avlips\nfoldr: x\n", "unknown key 'foldr'; did you mean 'folder'?"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_block_stops_those_alone_who_use_it(name: str, tmp_path: Path) -> None:
    text, told = WRONG[name]
    path = write_params(tmp_path)
    (tmp_path / "dataset" / "mine.yaml").write_text(text)
    params = load_params(path)  # of avlips
    assert told in params.unusable["mine"]
    assert params.unusable["mine"].startswith("dataset/mine.yaml")
    for load in (load_params, load_results_params, config.load):
        with pytest.raises(ConfigError) as caught:
            load(path).dataset("mine")
        assert told in str(caught.value)
    change(path, {"datasets": ["avlips", "mine"]})
    for load in (load_params, load_results_params, config.load):
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert told in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_training_that_does_not_fit_stops_those_alone_who_use_it(changed) -> None:
    own = {"data": {"grid": {"training": {"epochs": 2, "warmup_epochs": 2}}}}
    told = r"dataset/grid.yaml: 'training' has 2 warm-up epochs \(warmup_epochs\) of 2 epochs"
    with pytest.raises(ConfigError, match=told):
        changed(own).dataset("grid")
    with pytest.raises(ConfigError, match=told):
        changed({**own, "datasets": ["avlips", "grid"]})


def test_an_augmentation_is_told_with_the_file_it_stands_in(changed) -> None:
    own = {"augmentation": {"jiter": {"noise": 0.1}}}
    told = "dataset/avlips.yaml: unknown augmentation 'jiter'"
    with pytest.raises(ConfigError, match=told):
        changed(avlips(training=own))


def test_clips_are_mixed_in_one_way_only(changed) -> None:
    mixup, cutmix = ({"share": 0.5, "probability": 1.0} for _ in range(2))
    own = {"strong": {"augmentation": {"jitter": {"noise": 0.1}, "mixup": mixup}}}
    params = changed(avlips(training={"protocol": "strong", **own}))
    assert params.training_of("avlips").augmentation["mixup"] == mixup
    assert params.training_of("avlips", auxiliary=True).augmentation["mixup"] == mixup
    both = {"mixup": mixup, "cutmix": cutmix}
    told = "'augmentation' has 'mixup' and 'cutmix', .* in one way only: leave one of them out"
    with pytest.raises(ConfigError, match=f"^dataset/avlips.yaml: {told}"):
        changed(avlips(training={"augmentation": both}))
    with pytest.raises(ConfigError, match=f"^params.yaml: {told}"):
        changed({"training": {"augmentation": both}})


def test_blocks_of_an_older_params_yaml_are_told_where_to_go(tmp_path: Path) -> None:
    path = write_params(tmp_path)
    change(path, {"data": {"avlips": {"source": "avlips"}, "films": {"source": "own"}}})
    told = r"params.yaml: 'data' is not read, .*: move films to dataset/<name>.yaml, without the"
    with pytest.raises(ConfigError, match=told):
        load_params(path)


def test_a_block_that_git_does_not_track_is_told_in_a_copy(tmp_path: Path, monkeypatch) -> None:
    project = tmp_path / "project"
    (project / "dataset").mkdir(parents=True)
    (project / "dataset" / "films.yaml").touch()
    path = write_params(tmp_path / "copy", lambda values: values.update(datasets=["films"]))
    with pytest.raises(ConfigError, match=r"dataset/films.yaml is missing, .*there are: activ"):
        load_params(path)
    monkeypatch.setenv("DVC_ROOT", str(project))
    with pytest.raises(ConfigError, match=r"films.yaml is not in this copy .* `git add` the file"):
        load_params(path)


def test_methods_on_request_stand_in_a_file_of_their_own(root: Path, tmp_path: Path) -> None:
    path = write_params(tmp_path)
    file = tmp_path / REQUESTED
    whole = load_params(path)
    assert whole.resolved("kd_joint").options.weight == whole.methods["kd"]["weight"] == 0.9
    change(path, {"methods": {"kd": {"weight": 1.0}}})
    with pytest.raises(ConfigError, match=f"'methods.kd' stands in {REQUESTED} as well"):
        load_params(path)
    write_params(tmp_path)
    for changes, told in (
        ({"methods": {"kd": {"wieght": 1.0}}}, "unknown key 'methods.kd.wieght'"),
        ({"configurations": {"kd": {"weight": -1.0}}}, "'configurations.kd.weight' is -1.0"),
        ({"tables": {}}, "unknown key 'tables'"),
    ):
        shutil.copy(root / REQUESTED, file)
        change(file, changes)
        with pytest.raises(ConfigError, match=f"^{REQUESTED}: {told}"):
            load_params(path)
    file.unlink()
    assert "kd" not in load_params(path).configurations


def test_a_misspelt_key_is_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    def edit(values: dict) -> None:
        values.update(betta=values.pop("beta"), alhpa=values.pop("alpha"))

    path = write_params(tmp_path, edit)
    with pytest.raises(ConfigError, match=r"unknown key 'betta'; did you mean 'beta'\?"):
        config.load(path)


def test_params_yaml_fits_on_three_screens(root: Path) -> None:
    text = (root / "params.yaml").read_text()
    assert len(text.splitlines()) <= 200
    files = [root / "params.yaml", *root.glob("dataset/*.yaml"), root / REQUESTED]
    assert all(len(line) <= 100 for path in files for line in path.read_text().splitlines())
    keys = list(YAML(typ="safe").load(text))
    assert keys[:3] == ["alpha", "beta", "gamma"]
