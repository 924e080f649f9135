"""Every mistake in params.yaml is one sentence that names the key."""

from pathlib import Path

import pytest

from amid import config
from amid.errors import ConfigError


@pytest.fixture
def edited(root: Path, tmp_path: Path):
    """Loads the project's params.yaml with one piece of text replaced."""

    def load(old: str, new: str) -> config.Params:
        text = (root / "params.yaml").read_text()
        assert old in text
        path = tmp_path / "params.yaml"
        path.write_text(text.replace(old, new, 1))
        return config.load(path)

    return load


def test_the_committed_parameters_are_valid(root: Path) -> None:
    params = config.load(root / "params.yaml")
    assert (params.alpha, params.beta, params.gamma) == (4.0, 1.5, 1.0)
    assert params.datasets == ["avlips"]
    assert params.seeds == [0, 1, 2]


def test_params_yaml_spells_every_number_out(root: Path) -> None:
    """A default that is not in the file would be a number nobody sees."""
    params = config.load(root / "params.yaml")
    for name, block in params.data.items():
        assert block.options.model_fields_set == set(type(block.options).model_fields), name
        for modality, (_, options) in block.extract.items():
            missing = set(type(options).model_fields) - options.model_fields_set
            assert not missing, (name, modality, missing)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("alpha: 4.0", "alhpa: 4.0", ["'alhpa'", "did you mean 'alpha'?"]),
        ("alpha: 4.0", "alpha: -1", ["'alpha' is -1", "greater than or equal to 0"]),
        ("alpha: 4.0", "alpha: '4.0'", ["'alpha' is '4.0'", "number"]),
        ("alpha: 4.0", "alpha: .nan", ["'alpha'"]),
        ("datasets: [avlips]", "datasets: [avlip]", ["'avlip'", "did you mean 'avlips'?"]),
        ("datasets: [avlips]", "datasets: []", ["'datasets'"]),
        ("seeds: [0, 1, 2]", "seeds: [0, 0]", ["'seeds'", "twice"]),
        ("target: video", "target: vdeo", ["data.avlips", "vdeo"]),
        ("auxiliary: [audio]", "auxiliary: [video]", ["data.avlips.auxiliary", "target"]),
        ("extractor: frame_dct", "extractor: frame_dtc", ["'frame_dtc'", "frame_dct"]),
        ("frames: 8", "frames: 0", ["data.avlips.extract.video.frames", "is 0"]),
        ("bands: 40", "band: 40", ["data.avlips.extract.audio.band"]),
        ("training: {batch_size: 32}", "training: {batch: 32}", ["data.avlips.training.batch"]),
        ("batch_size: 32", "batch_size: 0", ["data.avlips.training.batch_size", "is 0"]),
        ("warmup_epochs: 10", "warmup_epochs: 40", ["'training'", "warmup_epochs", "40"]),
        ("temperature: 0.1", "temperature: 0.0", ["temperature", "greater than 0"]),
        ("temperature: 0.1", "temprature: 0.1", ["temprature", "did you mean 'temperature'?"]),
        ("{method: teacher}", "{method: techer}", ["'techer'", "did you mean 'teacher'?"]),
        ("l_ft: {method: amid, beta: 0.0", "l_ft: {method: amid, beta: -2.0", ["l_ft.beta"]),
        ("amid: [amid]", "amid: [amidd]", ["'amidd'", "sections.amid"]),
        ("{method: teacher}", "{metod: teacher}", ["teacher_alone", "`method`"]),
        ("auxiliary: [audio]", "auxiliary: []", ["data.avlips.auxiliary"]),
        ("encoders: {video: gru", "encoders: {video: mlp", ["encoders.video", "sequence"]),
        (
            "{method: amid, contrastive: ccl}",
            "{method: amid, training: {epochs: 5}}",
            ["amid_ccl_tau01.training", "of 5 epochs"],
        ),
        ("box: [0.6389, 0.8333", "box: [92, 120", ["extract.video", "shares"]),
        ("baselines: [student_alone", "baselines: [l_ft", ["sections.baselines", "'l_ft'"]),
        ("dim: 128", "dim: 12.5", ["network.dim", "12.5"]),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(edited, old, new, words) -> None:
    with pytest.raises(ConfigError) as caught:
        edited(old, new)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert caught.value.exit_code == 2


def test_a_missing_key_is_named(edited) -> None:
    with pytest.raises(ConfigError, match="'gamma' is missing"):
        edited("gamma: 1.0", "# gamma: 1.0")


def test_text_that_is_no_yaml_is_one_sentence(edited) -> None:
    with pytest.raises(ConfigError, match="not valid YAML") as caught:
        edited("alpha: 4.0", "alpha: [4.0")
    assert "\n" not in str(caught.value)


def test_a_number_such_as_1e_3_is_read_as_dvc_reads_it(edited) -> None:
    params = edited("learning_rate: 0.001", "learning_rate: 1e-3")
    assert params.training.learning_rate == 0.001


def test_overrides_of_a_data_set_reach_its_training_alone(root: Path) -> None:
    params = config.load(root / "params.yaml")
    assert params.training_of("avlips").batch_size == 32
    assert params.training_of("grid").batch_size == params.training.batch_size == 64


def test_weights_at_top_level_reach_the_method_unless_overridden(edited) -> None:
    params = edited("alpha: 4.0", "alpha: 3.5")
    _, options, _ = params.method_options("amid")
    assert (options.alpha, options.gamma) == (3.5, 1.0)
    _, options, _ = params.method_options("l_ft_l_fa")
    assert (options.alpha, options.gamma) == (3.5, 0.0)
