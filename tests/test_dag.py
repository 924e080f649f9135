"""The DAG is what the README and docs/architecture.md say, and follows params.yaml."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from amid.core.types import RunRecord
from amid.studies import STUDIES, get_study
from amid.studies.runs import planned_runs
from amid.studies.sections import ELSEWHERE
from tests import tiny as tiny_project
from tests.params import change
from tests.small import ROOT, project_params

SECTIONS = (
    "data", "train", "ablation", "compared", "sensitivity", "selection", "tune", "adversarial",
    "headroom", "benchmark", "modalities", "contrastive", "contrastive_small", "student", "report",
)  # fmt: skip
REQUESTED = (
    "selection",
    "tune",
    "adversarial",
    "headroom",
    "benchmark",
    "modalities",
    "contrastive",
    "student",
)  # pipelines that are run on request
FILES = ("dvc.yaml", *(f"pipelines/{name}/dvc.yaml" for name in SECTIONS if name not in REQUESTED))
FILES += tuple(f"pipelines/{name}/asked/dvc.yaml" for name in REQUESTED)
A_DATA_SET = {"download", "extract", "auxiliary", "baselines", "warmup", "amid", "ablation"}
A_DATA_SET |= {"croissant", "compared", "folds", "sensitivity", "exhibits"}
SMALL = {"download_small", "extract_small", "contrastive_small"}  # of the one data set they name
TABLES = {name for name in STUDIES if not get_study(name).on_request} | {"report"}
ON_REQUEST = {"selection", "table_selection", "tune", "tune_report"}
ON_REQUEST |= {"adversarial", "table_adversarial", "headroom", "table_headroom", "student"}
ON_REQUEST |= {"benchmark", "table_benchmark", "extract_pairs", "contrastive", "table7"}
ON_REQUEST |= {"modalities", "missing", "table_modalities"}
TABLES_ON_REQUEST = {"table_selection", "tune_report", "table_adversarial", "table_headroom"}
TABLES_ON_REQUEST |= {"table_benchmark", "table_modalities", "table7"}


@cache
def stages() -> dict[str, dict]:
    """Name -> definition of all stages, before the matrix over data sets is unrolled.

    `download` is written for each entry of pipelines/data/asked, where the folder that it watches
    stands. Not those that ask for a pipeline.
    """
    found: dict[str, dict] = {}
    for file in FILES:
        text = (ROOT / file).read_text().replace("${key}", "${item.dataset}")
        for name, stage in YAML(typ="safe").load(text)["stages"].items():
            found[name] = stage.get("do", stage)
    return found


def filled(text: str, dataset: str = "avlips") -> str:
    return text.replace("${item.dataset}", dataset)


def test_the_stages_of_the_paper_are_there() -> None:
    assert set(stages()) == {"check", "request"} | A_DATA_SET | SMALL | TABLES | ON_REQUEST
    both = ("avlips", "grid")  # run together
    assert 2 + len(A_DATA_SET) * len(both) + len(SMALL) + len(TABLES) <= 42


def test_what_is_on_request_is_no_stage_before_it_is_asked_for() -> None:
    yaml = YAML(typ="safe")
    for name in REQUESTED:
        asked = yaml.load((ROOT / f"pipelines/{name}/asked/params.yaml").read_text())["asked"]
        lists = {"datasets", "tables", *(["extracted"] if name == "contrastive" else [])}
        assert asked == {key: [] for key in lists}
        file = yaml.load((ROOT / f"pipelines/{name}/asked/dvc.yaml").read_text())
        assert file["vars"] == ["../../../params.yaml", "params.yaml"]
        for stage, entry in file["stages"].items():
            each = {"dataset": "${asked.datasets}"}
            if stage in TABLES_ON_REQUEST:
                each = {"of": "${asked.tables}"}
            elif stage == "extract_pairs":
                each = {"dataset": "${asked.extracted}"}
            assert entry["matrix"] == each, stage
        (request,) = yaml.load((ROOT / f"pipelines/{name}/dvc.yaml").read_text())["stages"].values()
        # without deps and outs: nothing that a command of DVC could miss
        assert request.keys() == {"desc", "wdir", "cmd"}
        assert request["cmd"] == f"python -m stages.request {name}"
    asked = yaml.load((ROOT / "pipelines/data/asked/params.yaml").read_text())["asked"]
    for name, folder in asked.items():
        assert yaml.load((ROOT / f"dataset/{name}.yaml").read_text())["folder"] == folder
    assert "avlips" in asked


def test_what_is_on_request_is_upstream_of_nothing_else() -> None:
    root = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    assert set(root) == TABLES
    outs = ("runs/selection", "runs/tune", "runs/adversarial", "runs/headroom", "student")
    outs += ("runs/benchmark", "runs/contrastive/", "runs/modalities", "runs/missing")
    for name, stage in stages().items():
        if name not in ON_REQUEST:
            assert not any(f"{dep}/".startswith(outs) for dep in stage["deps"]), name


def test_every_stage_says_what_it_does_and_runs_a_thin_file_that_exists() -> None:
    for name, stage in stages().items():
        assert len(stage["desc"]) > 20, name
        module = re.fullmatch(r"python -m (stages\.\w+)[\w ${}.]*", stage["cmd"])[1]
        path = ROOT / (module.replace(".", "/") + ".py")
        assert len(path.read_text().splitlines()) < 60, path
        assert str(path.relative_to(ROOT)) in stage["deps"], name


@cache
def values_of(path: Path) -> dict:
    return YAML(typ="safe").load(path.read_text())


def test_every_code_dependency_and_parameter_exists() -> None:
    seen = set()
    for name, stage in stages().items():
        for dep in stage["deps"]:
            if dep.startswith(("amid", "stages")):
                assert (ROOT / dep).exists(), (name, dep)
        for key in stage["params"]:
            files = key if isinstance(key, dict) else {"params.yaml": [key]}
            for file, keys in files.items():
                for path in ROOT.glob(filled(file, "*")):
                    seen.add(path.relative_to(ROOT).as_posix())
                    for key in keys or ():
                        value = values_of(path)
                        for part in key.split("."):
                            assert part in value, (name, path, key)
                            value = value[part]
    assert seen >= {"params.yaml", "dataset/avlips.yaml", "pipelines/compared/params.yaml"}


def test_every_dependency_that_is_made_is_an_out_of_another_stage() -> None:
    outs = [
        filled(next(iter(out)) if isinstance(out, dict) else out)
        for name, stage in stages().items()
        if name != "extract_pairs"  # of data sets that `extract` leaves out
        for out in (*stage["outs"], *stage.get("metrics", []))
    ]
    assert len(set(outs)) == len(outs)
    for name, stage in stages().items():
        for dep in map(filled, stage["deps"]):
            if dep.startswith(("data/", "runs/")):
                assert any(o == dep or o.startswith(dep + "/") for o in outs), (name, dep)


def test_a_table_that_fails_leaves_the_former_one() -> None:
    """DVC removes what does not persist before a stage runs."""
    for name, stage in stages().items():
        for out in (*stage["outs"], *stage.get("metrics", [])):
            path, details = next(iter(out.items())) if isinstance(out, dict) else (out, {})
            if path.startswith("reports/"):
                assert details == {"cache": False, "persist": True}, (name, path)


def test_the_stage_that_trains_rows_of_other_sections_knows_all_that_may_name_one() -> None:
    params = project_params()
    blocks = {name for name in STUDIES if get_study(name).rows(params)} - {"table2"}  # table1's
    assert blocks >= {"table1", "table4", "table5", "figure3", "figure4", "figure5", "table_seeds"}
    stage = stages()[ELSEWHERE]
    assert blocks | {"sections", "student"} <= {p for p in stage["params"] if isinstance(p, str)}


def test_a_study_finds_the_runs_of_its_sections_below_what_its_stage_depends_on() -> None:
    params = project_params()
    for name in STUDIES:
        if (study := get_study(name)).rows(params):
            deps = stages()[name]["deps"]
            assert {f"runs/{section}" for section in study.sections} <= set(deps), name


# A change of these changes no out: what they make of params.yaml shows in the specifications of the
# runs, or they say where and how something runs, and what is printed or logged of it.
WITHOUT_EFFECT = ("amid/config/", "amid/errors.py", "amid/executors/", "amid/tracking/")
WITHOUT_EFFECT += ("amid/io/content_store.py", "amid/io/processes.py", "amid/io/progress.py")
WITHOUT_EFFECT += ("amid/io/project.py", "amid/io/redact.py", "amid/runs/journal.py")
WITHOUT_EFFECT += ("amid/inspection/place.py", "stages/common.py")
# Lists of names: a line more changes nothing for the others.
WITHOUT_EFFECT += tuple(
    f"amid/{kind}/__init__.py"
    for kind in ("augmentations", "datasets", "extractors", "methods", "networks", "studies")
)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imported(path: Path) -> frozenset[Path]:
    """The files that a module of the project imports itself, at its top or inside functions."""
    found: set[Path] = set()
    waiting = list(parsed(path).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        waiting += ast.iter_child_nodes(node)
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, path
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            place = ROOT / name.replace(".", "/")
            found |= {f for f in (place.with_suffix(".py"), place / "__init__.py") if f.exists()}
    return frozenset(found)


def closure(*modules: str) -> set[str]:
    """The files that modules need, however deep, to make their outs; relative to the project."""
    seen: set[Path] = set()
    waiting = [ROOT / (module.replace(".", "/") + ".py") for module in modules]
    while waiting:
        path = waiting.pop()
        if path not in seen and not path.relative_to(ROOT).as_posix().startswith(WITHOUT_EFFECT):
            seen.add(path)
            waiting += imported(path)
    return {path.relative_to(ROOT).as_posix() for path in seen}


def modules_of(stage: dict) -> list[str]:
    """The module that a stage runs, and that of the study it is about."""
    words = stage["cmd"].split()[2:]
    trained = {study.trains: name for name in STUDIES if (study := get_study(name)).trains}
    named = trained.get(words[1], words[1]) if len(words) > 1 else None
    of_study = [STUDIES[named].split(":")[0]] if named in STUDIES else []
    return [words[0], *of_study]


@pytest.mark.parametrize("name", sorted(stages()))
def test_what_a_stage_imports_however_deep_lies_in_its_dependencies(name: str) -> None:
    stage = stages()[name]
    listed = [filled(dep) for dep in stage["deps"]]
    missing = {
        path
        for path in closure(*modules_of(stage))
        if not any(path == dep or path.startswith(f"{dep}/") for dep in listed)
        and parsed(ROOT / path).body[1:]  # more than a docstring
    }
    assert not missing


def test_weights_are_listed_only_where_they_are_read() -> None:
    read = {
        name: {p for p in stage["params"] if p in ("alpha", "beta", "gamma")}
        for name, stage in stages().items()
    }
    readers = {"warmup", "amid", "ablation", "folds", "selection", "tune"}
    readers |= {"sensitivity", "table6", "adversarial", "benchmark", "report"}
    assert {name for name, weights in read.items() if weights} == readers
    assert read["warmup"] == {"alpha", "beta"}


def upstream(name: str) -> set[str]:
    """The stages that a stage needs, itself among them."""
    made = {
        filled(next(iter(out)) if isinstance(out, dict) else out): stage
        for stage, entry in stages().items()
        if stage not in ON_REQUEST
        for out in (*entry["outs"], *entry.get("metrics", []))
    }
    found, waiting = set(), [name]
    while waiting:
        stage = waiting.pop()
        found.add(stage)
        for dep in map(filled, stages()[stage]["deps"]):
            needed = {
                maker
                for out, maker in made.items()
                if f"{out}/".startswith(f"{dep}/") or f"{dep}/".startswith(f"{out}/")
            }
            waiting += needed - found
    return found


def test_a_quick_answer_trains_amid_alone() -> None:
    """`dvc exp run -s -S alpha=5.0 pipelines/train/dvc.yaml:amid@avlips`: the stage has the number
    among its metrics, and trains the runs of the row `amid`, with their warm-ups."""
    (metrics,) = stages()["amid"]["metrics"]
    assert list(metrics) == ["reports/trained/${item.dataset}.json"]
    params = project_params()
    before, after = (
        {r.spec.key: r for r in planned_runs("amid", values, "avlips", lambda *_: "")}
        for values in (params, params.model_copy(update={"alpha": 5.0}))
    )
    missing = [run for key, run in after.items() if key not in before]
    assert [run.folder for run in missing] == [f"amid/seed{seed}" for seed in params.seeds]
    assert all(run.parent.options["alpha"] == 5.0 for run in missing)  # which its worker trains


def test_table_1_at_another_weight_trains_no_other_row() -> None:
    """`dvc exp run -S alpha=5.0 table1`."""
    assert {"baselines", "compared", "warmup", "amid"} <= upstream("table1")
    read = {name for name in upstream("table1") if "alpha" in stages()[name]["params"]}
    assert read == {"warmup", "amid"}
    params = project_params()
    for name in ("warmup", "amid"):
        before, after = (
            {r.spec.key: r.folder for r in planned_runs(name, values, "avlips", lambda *_: "")}
            for values in (params, params.model_copy(update={"alpha": 5.0}))
        )
        missing = sorted(folder for key, folder in after.items() if key not in before)
        assert missing == [f"amid/seed{seed}" for seed in params.seeds]


def test_analytics_and_update_checks_are_off() -> None:
    text = (ROOT / ".dvc" / "config").read_text()
    assert "analytics = false" in text
    assert "check_update = false" in text


TINY = {
    "seeds: [0, 1, 2]": "seeds: [0]",
    "  epochs: 24 ": "  epochs: 3 ",
    "{epochs: 8,": "{epochs: 2,",
    "folds: all ": "folds: [0, 1] ",
    "{epochs: 20, warmup_epochs: 2, batch_size: 64": "{epochs: 6, warmup_epochs: 1, batch_size: 32",
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Path:
    """A copy of the project with four words and three epochs, reproduced once."""
    place = tmp_path_factory.mktemp("tiny") / "project"
    (place.parent / "bin").symlink_to(warm)
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        made = name.endswith("dvc.lock") or name.startswith("reports/")
        if not made and (ROOT / name).exists():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    text = (place / "params.yaml").read_text()
    for old, new in TINY.items():
        assert old in text, old
        text = text.replace(old, new)
    (place / "params.yaml").write_text(text)
    change(place / "dataset" / "avlips.yaml", {"options": tiny_project.FEW})
    change(place / "dataset" / "avsentences_small.yaml", {"options": tiny_project.FEW_PAIRS})
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "start")):
        git(place, *words)
    run(place, "repro")
    return place


def git(place: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *words], cwd=place, check=True)


def run(place: Path, *words: str) -> str:
    """A dvc command in `place`, without the git identity of whoever runs the tests."""
    bare = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    path = (place.parent / "bin", Path(sys.executable).parent, os.environ["PATH"])
    environment = {**os.environ, **bare, "PATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-m", "dvc", *words]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def trained(output: str) -> dict[str, int]:
    found = re.findall(r"(\w+)@avlips: \d+ runs, (\d+) trained", output)
    return {stage: int(count) for stage, count in found if int(count)}


# The stages that train, in which the number of runs is told.
TRAINING = tuple(
    f"pipelines/{file}/dvc.yaml:{stage}@avlips"
    for file, stage in (
        *(("train", "amid"), ("ablation", "ablation")),
        *(("compared", "folds"), ("sensitivity", "sensitivity")),
    )
)


@pytest.mark.slow(seconds=310)
def test_a_second_repro_runs_nothing_and_status_is_clean(tiny: Path) -> None:
    assert "Running stage" not in run(tiny, "repro")
    run(tiny, "status", "-q", "--with-deps", *sorted(TABLES))


@pytest.mark.slow(seconds=85)
def test_commands_of_dvc_miss_nothing_that_was_never_made(tiny: Path) -> None:
    """Before and after the student is asked for, each exits with 0."""
    for name in ("before", "after"):
        git(tiny, "add", "-A")
        git(tiny, "commit", "-qm", name)
        for words in (("checkout",), ("commit",), ("exp", "save", "--name", name)):
            run(tiny, *words)
        run(tiny, "exp", "apply", name)
        if name == "before":
            run(tiny, "repro", "pipelines/student/dvc.yaml")
            assert (tiny / "student" / "avlips" / "card.json").exists()


@pytest.mark.slow(seconds=60)
def test_a_quick_answer_is_beside_the_default(tiny: Path) -> None:
    """By one stage; what it leaves stale is made by the next `dvc repro`, from the run store."""
    shown = run(tiny, "exp", "show", "--csv").splitlines()[0].split(",")
    assert "trained.avlips.amid" in shown
    output = run(tiny, "exp", "run", "-s", "-S", "alpha=4.35", TRAINING[0])
    assert trained(output) == {"amid": 1}
    assert output.count("Running stage") == 1
    (record,) = (tiny / "runs" / "amid" / "avlips" / "amid").glob("*/record.json")
    accuracy = RunRecord.from_json(record.read_text()).accuracy("student")
    told = json.loads((tiny / "reports" / "trained" / "avlips.json").read_text())["trained"]
    assert told["avlips"]["amid"] == round(100 * accuracy, 2)
    output = run(tiny, "repro", "table1")
    assert trained(output) == {}
    assert {"warmup@avlips", "amid@avlips", "table1"} <= set(re.findall(r"([\w@]+)':\n> ", output))
    table = json.loads((tiny / "reports" / "table1.json").read_text())
    assert table["avlips"]["amid"] == told["avlips"]["amid"]
    assert trained(run(tiny, "exp", "run", "-S", "alpha=4.0", "table1")) == {}


@pytest.mark.slow(seconds=300)
def test_a_changed_weight_trains_exactly_the_runs_that_depend_on_it(tiny: Path) -> None:
    # with the pages that read alpha; other tables see no more of it than other numbers in records
    output = run(tiny, "exp", "run", *TRAINING, "table6", "report", "-S", "alpha=4.15")
    folds = 3 * 2  # AMID's in three setups and two folds
    # of Table 6 the values of beta and gamma but for the defaults, which are AMID's run
    # the warm-up of AMID; in `ablation` those of L_FT, both rows with CCL's loss, the fixed teacher
    expected = {"warmup": 1, "amid": 1, "ablation": 4 + 8, "folds": folds, "sensitivity": 5 + 5}
    assert trained(output) == expected
    output = run(tiny, "exp", "run", *TRAINING, "-S", "alpha=4.15", "-S", "gamma=0.5")
    expected = {"amid": 2, "ablation": 8 - 2, "folds": folds, "sensitivity": 6 + 5}
    assert trained(output) == expected
    words = ("-S", "table6.gamma=[0.65,0.8,0.9,1.0,1.1,1.2]")
    output = run(tiny, "exp", "run", TRAINING[-1], *words)
    assert trained(output) == {"sensitivity": 1}
    assert "alpha" in run(tiny, "exp", "show", "--only-changed", "--csv")
    assert "avlips.amid.student" in run(tiny, "exp", "show", "--csv")


@pytest.mark.slow(seconds=120)
def test_a_queued_experiment_shares_the_run_store_and_mlflow(tiny: Path) -> None:
    before = len(list((tiny / ".runs").glob("*/*/record.json")))
    run(tiny, "exp", "run", *TRAINING, "--queue", "--name", "queued-beta", "-S", "beta=0.7")
    run(tiny, "queue", "start")
    run(tiny, "queue", "logs", "queued-beta", "--follow")
    assert "Success" in run(tiny, "queue", "status")
    after = len(list((tiny / ".runs").glob("*/*/record.json")))
    # warm-ups of AMID and both rows with CCL's loss; AMID and its six ablations with L_FA; AMID's
    # folds; the six values of alpha and of gamma (the default ones changed before)
    assert after - before == 3 + 7 + 3 * 2 + 6 + 6
    from amid.tracking.client import experiments, open_client

    client = open_client(tiny)
    text = "tags.DVC_EXP_NAME = 'queued-beta' and tags.configuration = 'amid'"
    # its warm-up, itself, its folds, and its values in Table 6
    assert len(client.search_runs(experiments(client), text)) == 2 + 3 * 2 + 6 + 6
