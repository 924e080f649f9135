"""Missing modalities at test, by predictions that are written out."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from amid.core.types import RunRecord
from amid.data.splits import features_fingerprint
from amid.errors import AmidError, ConfigError
from amid.io.checksums import record_checksums
from amid.runs.plan import modality_runs
from amid.studies import modalities
from amid.studies.statistics import holm, paired_t
from tests.recorded import put, record
from tests.small import small_params, write_data

BLOCK = modalities.Block(
    protocol="strong", modality_dropout=0.5, teacher="teacher_alone", alone="student_alone", seeds=3
)
SUBSETS = ["video", "audio", "text", "video+audio", "video+text", "audio+text", "video+audio+text"]
LABELS = [0] * 10


def params(**changes):
    return small_params(table_modalities=BLOCK.model_copy(update=changes))


def predicted(right: int) -> list[int]:
    return [0] * right + [1] * (len(LABELS) - right)


def write_runs(folder: Path, *, seeds: int = 3) -> None:
    """What the stages `modalities` and `missing` leave: of the n-th subset the network of its own
    is right about n + seed clips, the teacher with dropout about one more, or with the odd seeds
    about two, the one without about n / 2."""
    found: dict = {modalities.DROPOUT: {}, modalities.WHOLE: {}}
    for seed in range(seeds):
        for n, subset in enumerate(SUBSETS[:-1]):
            head = "teacher" if "+" in subset else "student"
            put(a_run(head, n + seed, seed, subset), folder / "own" / subset / f"seed{seed}")
        for row in found:
            run = a_run("teacher", len(SUBSETS) - 1 + seed, seed, row)
            put(run, folder / row / f"seed{seed}")
            more = 1 + seed % 2 + seed
            found[row][run.key] = {
                subset: predicted(n + more if row == modalities.DROPOUT else n // 2)
                for n, subset in enumerate(SUBSETS)
            }
    place = folder.parent.parent / "missing" / "avlips"
    place.mkdir(parents=True)
    (place / modalities.PREDICTIONS).write_text(json.dumps(found))
    record_checksums(place, modalities.PREDICTIONS)


def a_run(head: str, right: int, seed: int, name: str) -> RunRecord:
    made = record({head: min(right, len(LABELS))}, seed, labels=LABELS, selected_on=head)
    return replace(made, spec=replace(made.spec, method=name))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_runs(tmp_path / "runs" / "modalities" / "avlips")
    return tmp_path / "runs"


def test_the_subsets_are_all_of_them_the_target_first() -> None:
    assert ["+".join(one) for one in modalities.subsets(params(), "avlips")] == SUBSETS


def test_the_runs_are_two_teachers_and_a_network_a_subset(tmp_path: Path) -> None:
    data = write_data(tmp_path / "avlips", modalities=("audio", "text"))
    fingerprint = partial(features_fingerprint, data)
    of = {run.folder: run.spec for run in modalities.plan(params(seeds=2), "avlips", fingerprint)}
    rows = ["dropout", "whole", *(f"own/{subset}" for subset in SUBSETS[:-1])]
    assert list(of) == [f"{row}/seed{seed}" for row in rows for seed in (0, 1)]
    specs = {row: of[f"{row}/seed1"] for row in rows}
    for row, spec in specs.items():
        modality, *others = row.removeprefix("own/").split("+")
        if "own" in row:
            assert (spec.target, spec.auxiliary) == (modality, tuple(others)), row
        assert spec.method == ("teacher" if spec.auxiliary else "baseline")
        assert spec.seed == 1
        assert spec.training.get("modality_dropout") == (0.5 if row == "dropout" else None)
        assert spec.training["schedule"]["epochs"] == spec.training["epochs"] == 30  # strong
    assert specs["dropout"].auxiliary == specs["whole"].auxiliary == ("audio", "text")
    assert specs["own/audio+text"].network["encoder"] == "cnn"
    assert specs["own/audio+text"].features == fingerprint("audio", ("text",))
    assert len({spec.key for spec in of.values()}) == len(of)


def test_a_single_auxiliary_modality_is_the_run_of_the_headroom(tmp_path: Path) -> None:
    fingerprint = partial(
        features_fingerprint, write_data(tmp_path / "avlips", modalities=("audio", "text"))
    )
    own = params(protocol="paper")
    (run,) = (
        one for one in modalities.plan(own, "avlips", fingerprint)
        if one.folder == "own/audio/seed0"
    )  # fmt: skip
    assert run.spec == modality_runs(own, "avlips", fingerprint)[0].spec


def test_accuracies_differences_and_tests_are_those_of_the_predictions(runs: Path) -> None:
    table = modalities.modalities(modalities.load(params(), runs))
    assert table["subset"].tolist() == [subset.replace("+", " + ") for subset in SUBSETS]
    assert table["seen"].tolist() == [True, False, False, True, True, False, True]
    for n, row in enumerate(table.to_dict("records")):
        own = [10.0 * min(n + seed, 10) for seed in range(3)]
        teacher = [10.0 * min(n + 1 + seed % 2 + seed, 10) for seed in range(3)]
        assert row["own"] == pytest.approx(sum(own) / 3)
        assert row["dropout"] == pytest.approx(sum(teacher) / 3)
        assert row["whole"] == pytest.approx(10.0 * (n // 2))
        assert row["difference"] == pytest.approx(row["dropout"] - row["own"])
        assert row["p_own"] == pytest.approx(paired_t(teacher, own), nan_ok=True)
    assert table["p_own_holm"].tolist() == pytest.approx(holm(table["p_own"].tolist()))
    assert table["own"].iloc[-1] == pytest.approx(70.0)  # the teacher without dropout itself


def test_the_files_show_it(runs: Path, tmp_path: Path) -> None:
    files = modalities.TABLE_MODALITIES.write(params(), runs, tmp_path)
    ends = (".csv", ".md", ".tex", "_seeds.csv", ".png")
    assert [path.name for path in files] == [f"table_modalities{end}" for end in ends]
    assert all(path.stat().st_size for path in files)
    text = (tmp_path / "table_modalities.md").read_text()
    assert "| video + audio | yes | 40.0 ± 10.0 | 53.3 ± 11.5 | +13.3 |" in text
    assert "| audio + text |  | 60.0 ± 10.0 |" in text
    seeds = pd.read_csv(tmp_path / "table_modalities_seeds.csv")
    assert len(seeds) == 7 * 3 * 3
    assert seeds.groupby(["subset", "network"])["top1"].mean()["audio", "whole"] == 0.0


def test_predictions_of_other_runs_are_a_sentence(runs: Path) -> None:
    place = runs / "missing" / "avlips" / modalities.PREDICTIONS
    found = json.loads(place.read_text())
    found["whole"].popitem()
    place.write_text(json.dumps(found))
    record_checksums(place.parent, place.name)
    with pytest.raises(AmidError, match=r"predictions\.json is of other runs than those in"):
        modalities.load(params(), runs)
    place.unlink()
    with pytest.raises(AmidError, match=r"missing: run `dvc repro pipelines/modalities/dvc\.yaml`"):
        modalities.load(params(), runs)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teacher": "techer_alone"}, r"table_modalities\.teacher.*'teacher_alone'"),
        ({"teacher": "amid"}, r"teacher' names 'amid', whose method is 'amid'"),
        ({"alone": "teacher_alone"}, r"alone' names 'teacher_alone'.*of the method 'baseline'"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        modalities.TABLE_MODALITIES.check(params(**changes))
