"""MLflow is a faithful view: parent and children, all metrics once, no run left RUNNING."""

from __future__ import annotations

import multiprocessing
import os
import platform
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.request import url2pathname

import pytest

from amid.runs import journal
from amid.tracking import client as client_module
from amid.tracking import tracker as tracker_module
from amid.tracking.client import (
    artifact_uri,
    experiment,
    experiment_name,
    experiments,
    open_client,
    section_of,
    store_uri,
)
from amid.tracking.dead_runs import (
    close_dead_runs,
    close_left_running,
    is_alive,
    process_identity,
)
from amid.tracking.tracker import Tracker
from amid.tracking.views import TAG, View, prepare_views
from amid.training.job import TrainingJob
from amid.training.train import train
from tests.small import ROOT, small_run, write_data
from tests.stores import put_store


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("run")
    data = write_data(folder / "avlips")
    run = small_run(data, "amid")
    writer = journal.JournalWriter(folder / "journal.jsonl", "token")
    callbacks = {"on_start": writer.start, "on_epoch": writer.epoch}
    record = train(TrainingJob(run.spec, data, folder, checkpoint_every=9, **callbacks))
    return run, record, journal.read(folder / "journal.jsonl"), folder / "model.safetensors"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory):
    """Of a store for tests that have sections of their own in it."""
    folder = tmp_path_factory.mktemp("store")
    put_store(folder)
    return open_client(folder)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a store, for tests that are not about how one is made."""
    put_store(tmp_path)
    return tmp_path


def runs_of(root: Path) -> list:
    client = open_client(root)
    return client.search_runs(experiments(client), max_results=100)


def test_a_stage_is_a_parent_with_a_child_a_training(trained, project, monkeypatch) -> None:
    run, record, lines, student = trained
    monkeypatch.setenv("DVC_EXP_NAME", "quiet-owl")
    with Tracker("amid@avlips", project, {"alpha": 4.0}) as tracker:
        tracker.log_epochs(run, lines[:2])
        tracker.log_epochs(run, lines[2:])
        tracker.log_run(run, record, lines, student)
    parent, child = sorted(runs_of(project), key=lambda r: "amid.run" in r.data.tags)
    assert parent.info.status == child.info.status == "FINISHED"
    assert parent.data.params == {"alpha": "4.0"}
    tags = child.data.tags
    assert tags["mlflow.parentRunId"] == parent.info.run_id
    assert (tags["seed"], tags["method"], tags["dataset"]) == ("0", "amid", "avlips")
    assert (tags["amid.run"], tags["DVC_EXP_NAME"]) == (record.key, "quiet-owl")
    assert (child.data.params["alpha"], child.data.params["configuration"]) == ("4.0", "amid")
    client = open_client(project)
    for name in ("train_l_ft", "validation_student", "validation_teacher", "validation_similarity"):
        history = client.get_metric_history(child.info.run_id, name)
        assert [m.step for m in history] == [1, 2, 3, 4, 5, 6]
        assert [m.value for m in history] == [epoch[name] for epoch in record.history]
    for at in ("best", "last"):  # the test split is looked at after the training only
        assert child.data.metrics[f"{at}_test_student"] == record.accuracy("student", at)
        assert client.get_metric_history(child.info.run_id, f"{at}_test_teacher")[0].step == 0
    assert "test_student" not in child.data.metrics
    assert child.data.metrics["best_test_r_at_1"] == record.retrieval["best"]["r@1"]
    assert [f.path for f in client.list_artifacts(child.info.run_id)] == ["model.safetensors"]
    assert (project / "mlruns" / "artifacts").is_dir()


def test_no_secret_reaches_the_store(trained, project, monkeypatch) -> None:
    run, record, lines, student = trained
    monkeypatch.setenv("DVC_EXP_NAME", "of-https://me:hunter2@host.example/x")
    given = {"api_key": "hunter2", "mirror": "https://me:hunter2@host.example/x?sig=hunter2"}
    given |= {"files": [{"url": "https://h/x?token=hunter2", "password": "hunter2"}]}
    with Tracker("download@own", project, {"options": given, "seed": 3}) as tracker:
        tracker.log_run(run, record, lines, student)
    (parent,) = (r for r in runs_of(project) if "amid.run" not in r.data.tags)
    assert parent.data.params["seed"] == "3"
    assert parent.data.params["options.api_key"] == "***"
    assert parent.data.params["options.mirror"] == "https://***@host.example/x?sig=***"
    store = (project / "mlruns").rglob("*")
    assert not [path for path in store if path.is_file() and b"hunter2" in path.read_bytes()]


def test_a_run_from_the_store_is_logged_once(trained, project) -> None:
    run, record, lines, student = trained
    for _ in range(2):
        with Tracker("amid@avlips", project, {}) as tracker:
            tracker.log_known(run, record, lines, student)
    logged = [r for r in runs_of(project) if r.data.tags.get("amid.run") == record.key]
    assert len(logged) == 1


def test_runs_of_the_one_earlier_experiment_stay_and_are_logged_in_their_section(
    trained, project
) -> None:
    run, record, lines, student = trained
    client = open_client(project)
    earlier = client.create_experiment("amid")
    done = client.create_run(earlier, tags={"amid.run": record.key}).info.run_id
    client.set_terminated(done, "FINISHED")
    for _ in range(2):
        with Tracker("amid@avlips", project, {}) as tracker:
            tracker.log_known(run, record, lines, student)
    assert [r.info.run_id for r in client.search_runs([earlier])] == [done]
    logged = [r for r in runs_of(project) if r.data.tags.get("amid.run") == record.key]
    assert len(logged) == 1
    assert experiments(client, earlier=True) == [*experiments(client), earlier]


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("download@avlips", "amid: data"),
        ("extract@avlips", "amid: data"),
        ("amid@avlips", "amid: joint training"),
        ("warmup@grid", "amid: warm-ups"),
        ("table_seeds", "amid: tables and figures"),
        ("figure3", "amid: tables and figures"),
        ("tune@avlips", "amid: search"),
        ("tune", "amid: tables and figures"),
        ("report", "amid: tables and figures"),
        ("mine@avlips", "amid: mine"),  # a section of one's own
    ],
)
def test_a_stage_is_in_the_experiment_of_its_section(stage: str, name: str) -> None:
    assert experiment_name(section_of(stage)) == name


def test_names_of_runs_read(trained) -> None:
    run, *_ = trained
    fold = replace(run, folder="V + A/amid/fold3/seed1")
    assert tracker_module.run_name("amid@avlips", run) == "avlips: amid, seed 0"
    assert tracker_module.run_name("warmup@avlips", run) == "avlips: warm-up of amid, seed 0"
    assert tracker_module.run_name("folds@avlips", fold) == "avlips: V + A, amid, fold 3, seed 1"


def test_an_experiment_says_what_it_holds_and_one_deleted_in_the_ui_comes_back(client) -> None:
    made = experiment(client, "sensitivity", None)
    assert "alpha, beta and gamma" in client.get_experiment(made).tags["mlflow.note.content"]
    client.delete_experiment(made)
    assert experiment(client, "sensitivity", None) == made
    assert client.get_experiment(made).lifecycle_stage == "active"


def view_of(table: str) -> View:
    return View(table, "avlips", table.title(), (), (), grouped=True)


def test_comparisons_are_prepared_where_their_runs_are(client) -> None:
    view, key, ids = view_of("table4"), "table4-avlips", []
    assert prepare_views(client, [view], {key: {"in amid": "amid", "in mine": "mine"}}) == {}
    for section in ("amid", "mine"):
        ids.append(experiment(client, section, None))
        tags = {"amid.run": f"in {section}", "dataset": "avlips"}
        client.set_terminated(client.create_run(ids[-1], tags=tags).info.run_id)
    assert prepare_views(client, [view], {}) == {}  # no record of the table is there
    current = {key: {"in amid": "amid", "in mine": "mine"}}
    assert prepare_views(client, [view], current) == {"Table4": view.path(ids)}
    stored = [client.get_experiment(one).tags[TAG + key] for one in ids]
    assert stored == [view.state(["amid", "mine"])] * 2
    one = {"Table4": view.path(ids[1:])}
    assert prepare_views(client, [view], {key: {"in mine": "mine"}}) == one


def test_a_comparison_finds_the_runs_of_the_table_as_it_stands(project: Path) -> None:
    """Not those of an earlier alpha, of the same data set and configuration."""
    client = open_client(project)
    made = experiment(client, "amid", None)
    runs = {}
    for key, alpha in (("old", 3.0), ("new", 4.0), ("newest", 5.0)):
        tags = {"amid.run": key, "dataset": "avlips", "configuration": "amid"}
        runs[key] = client.create_run(made, tags=tags).info.run_id
        client.log_param(runs[key], "alpha", alpha)
        client.set_terminated(runs[key])
    tables = [view_of("table1"), view_of("table4")]
    for current in ("old", "new", "newest"):
        prepare_views(client, tables, {view.key: {current: "amid"} for view in tables})
        for view in tables:
            found = client.search_runs([made], view.filter)
            assert [run.info.run_id for run in found] == [runs[current]]
            assert found[0].data.tags[view.tag] == "amid"


def test_of_a_run_that_was_logged_twice_the_later_one_is_shown(project: Path) -> None:
    """As after its folder in the run store was deleted: a mean over seeds has it once."""
    client, view = open_client(project), view_of("table1")
    made = experiment(client, "amid", None)
    tags = {"amid.run": "key", "dataset": "avlips"}
    for start in (1, 2):
        run = client.create_run(made, start_time=start, tags=tags)
        client.set_terminated(run.info.run_id)
        prepare_views(client, [view], {view.key: {"key": "amid"}})
        found = client.search_runs([made], view.filter)
        assert [one.info.run_id for one in found] == [run.info.run_id]


def test_a_run_that_tables_share_is_in_the_comparison_of_each(trained, project: Path) -> None:
    """After `dvc exp run -S alpha=4.1`: the run of the row `amid` was logged for Table 6, which
    has trained the same one at that value, and in its experiment."""
    run, record, lines, student = trained
    table6 = replace(run, configuration="amid", folder="alpha_4.1/seed0")
    with Tracker("sensitivity@avlips", project, {}) as tracker:
        tracker.log_run(table6, record, lines, student)
    with Tracker("amid@avlips", project, {}) as tracker:  # its record is in the store
        tracker.log_known(run, record, lines, student)
    client = open_client(project)
    place = client.get_experiment_by_name("amid: sensitivity").experiment_id
    rows = {"table1-avlips": "amid, amid_tuned", "table6-avlips": "alpha 4.1"}
    tables = [view_of("table1"), view_of("table6")]
    current = {key: {record.key: row} for key, row in rows.items()}
    for view in tables:
        assert prepare_views(client, tables, current)[view.title] == view.path([place])
        (found,) = client.search_runs([place], view.filter)
        assert found.data.tags["amid.run"] == record.key
        assert found.data.tags[view.tag] == rows[view.key]


def test_a_stage_that_fails_is_marked_failed(project) -> None:
    with pytest.raises(ZeroDivisionError), Tracker("amid@avlips", project, {}):
        _ = 1 / 0
    assert [r.info.status for r in runs_of(project)] == ["FAILED"]


def test_ctrl_c_while_the_store_is_being_opened_is_what_shows(tmp_path, monkeypatch) -> None:
    slow, main = threading.Event(), threading.main_thread().ident
    monkeypatch.setattr(tracker_module, "open_any", lambda root: slow.wait(30))
    monkeypatch.setattr(tracker_module, "KILLED_SECONDS", 0.1)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.3, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt), Tracker("amid@avlips", tmp_path, {}) as tracker:
            tracker.log_metrics({"clips": 1.0})  # waits for the store
    finally:
        signal.signal(signal.SIGINT, before)
        slow.set()


def test_runs_of_a_dead_process_are_closed_and_others_left(project) -> None:
    tracker = Tracker("amid@avlips", project, {}).__enter__()
    tracker.client()
    client = open_client(project)
    assert close_dead_runs(client) == 0
    client.set_tag(tracker.parent, "amid.process", "999999999:1")
    assert close_dead_runs(client) == 1
    assert client.get_run(tracker.parent).info.status == "KILLED"


def _open(root: str) -> str:
    with Tracker("amid@avlips", Path(root), {}) as tracker:
        tracker.log_metrics({"clips": 3})
    return "whole"


@pytest.mark.slow
def test_first_use_by_several_processes_at_once(tmp_path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert pool.map(_open, [str(tmp_path)] * 4) == ["whole"] * 4
    runs = runs_of(tmp_path)
    assert [r.info.status for r in runs] == ["FINISHED"] * 4
    assert {r.data.metrics["clips"] for r in runs} == {3}


def test_a_journal_is_read_only_by_the_stage_it_was_begun_for(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    first = journal.JournalWriter(path, "first")
    first.start(0, [])
    first.epoch(0, {"loss": 1.0, "none": float("nan")})
    first.epoch(1, {"loss": 0.5})
    assert journal.read(path, "second") == []
    assert [line["metrics"] for line in journal.read(path, "first", skip=1)] == [{"loss": 0.5}]
    at = journal.read(path)[0]["time"]
    second = journal.JournalWriter(path, "second")
    second.start(1, [{"loss": 1.0}])  # resumed from a checkpoint after one epoch
    assert [line["epoch"] for line in journal.read(path, "second")] == [0]
    assert journal.read(path)[0]["time"] == at
    with path.open("a") as file:
        file.write('{"epoch": 1, "ti')  # killed in the middle of a line
    assert len(journal.read(path, "second")) == 1


def test_a_process_is_known_by_its_pid_and_start() -> None:
    mine = process_identity(os.getpid())
    assert is_alive(mine)
    pid, start = mine.split(":")
    for other in (f"{pid}:{int(start) + 1}", f"{pid}:", ":", "", f"1{pid}{pid}:{start}", "x:1"):
        assert not is_alive(other), other
    child = subprocess.Popen(["sleep", "60"])
    theirs = process_identity(child.pid)
    assert theirs != mine
    assert is_alive(theirs)
    child.kill()
    child.wait()
    assert not is_alive(theirs)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_start_is_the_one_that_the_kernel_tells() -> None:
    """So that runs logged by earlier versions, which read it there, are still recognised."""
    stat = Path(f"/proc/{os.getpid()}/stat").read_text()
    assert process_identity(os.getpid()) == f"{os.getpid()}:{stat.rpartition(')')[2].split()[19]}"


def test_runs_of_killed_processes_are_closed_and_mlflow_waits_for_one(tmp_path: Path) -> None:
    assert close_left_running(tmp_path) == 0  # no store
    put_store(tmp_path)
    client = open_client(tmp_path)
    place = client.create_experiment("amid")  # where runs were before there were sections
    tags = {"amid.host": platform.node(), "amid.process": f"{2**22 + 1}:7"}
    dead = client.create_run(place, tags=tags).info.run_id
    place = experiment(client, "amid", None)
    abroad = client.create_run(place, tags={**tags, "amid.host": "elsewhere"}).info.run_id
    mine = {**tags, "amid.process": process_identity(os.getpid())}
    alive = client.create_run(place, tags=mine).info.run_id
    assert close_left_running(tmp_path) == 1
    status = {run: client.get_run(run).info.status for run in (dead, abroad, alive)}
    assert status == {dead: "KILLED", abroad: "RUNNING", alive: "RUNNING"}
    code = (
        "import sys; from pathlib import Path\n"
        "from amid.tracking.dead_runs import close_left_running\n"
        "print(close_left_running(Path(sys.argv[1])), 'mlflow' in sys.modules)"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "0 False\n"


@pytest.mark.slow
def test_a_store_is_whole_as_soon_as_it_has_its_name(tmp_path: Path, monkeypatch) -> None:
    """A kill amid the creation of its tables would leave one that nobody can open."""

    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(client_module, "create_tables", killed)
        with pytest.raises(KeyboardInterrupt):
            open_client(tmp_path / "one")
    (left,) = tmp_path.glob("one/mlruns/*.db*")
    assert left.suffix == ".part"
    (tmp_path / "two" / "mlruns").mkdir(parents=True)
    (tmp_path / "two" / "mlruns" / "mlflow.db.1.part").write_bytes(b"half")
    assert experiments(open_client(tmp_path / "two")) == []
    assert [path.name for path in tmp_path.glob("two/mlruns/*.db*")] == ["mlflow.db"]


def artifacts_of(root: Path) -> dict[str, Path]:
    """Where the file of each run of a store is found through MLflow, by the run's id."""
    client = open_client(root)
    return {
        run.info.run_id: Path(url2pathname(run.info.artifact_uri.removeprefix("file://")))
        for run in client.search_runs(experiments(client))
        if [file.path for file in client.list_artifacts(run.info.run_id)] == ["table.md"]
    }


@pytest.mark.parametrize("how", [shutil.copytree, shutil.move])
def test_artifacts_follow_a_project_that_was_moved_or_copied(how, tmp_path: Path, capsys) -> None:
    old, new = tmp_path / "old", tmp_path / "new place"
    old.mkdir()
    put_store(old)
    for root in (old, new):
        if root == new:
            how(old, new)
            was = {path.relative_to(tmp_path) for path in tmp_path.glob("old/mlruns/artifacts/*")}
        (root / "table.md").write_text("72.0")
        with Tracker("table1", root, {}) as tracker:
            tracker.log_files(root / "table.md")
    assert capsys.readouterr().err.count("mlflow.db names their new place now") == 1
    found = artifacts_of(new)
    assert len(found) == 2
    assert all(path.is_relative_to(new) for path in found.values())
    assert {path.relative_to(tmp_path) for path in tmp_path.glob("old/mlruns/artifacts/*")} == was
    assert capsys.readouterr().err == ""  # once


def test_an_artifact_that_lies_only_in_the_earlier_place_keeps_its_address(tmp_path: Path) -> None:
    """As a project logged it there that was moved before this was mended."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "table.md").write_text("72.0")
    put_store(old)
    with Tracker("table1", old, {}) as tracker:
        tracker.log_files(old / "table.md")
    shutil.copytree(old, new)
    shutil.rmtree(new / "mlruns" / "artifacts")
    (path,) = artifacts_of(new).values()
    assert path.is_relative_to(old)


def test_a_registered_student_follows_as_well(tmp_path: Path, monkeypatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    put_store(old)
    client = open_client(old)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(old))  # the registry asks by it
    made = experiment(client, "student", artifact_uri(old))
    run = client.create_run(made)
    model = client.create_logged_model(made, source_run_id=run.info.run_id)
    client.create_registered_model("amid-x-student")
    version = client.create_model_version("amid-x-student", f"models:/{model.model_id}")
    assert client.get_model_version_download_uri("amid-x-student", version.version).startswith(
        old.as_uri()
    )
    shutil.move(old, new)
    client = open_client(new)
    for uri in (
        client.get_logged_model(model.model_id).artifact_location,
        client.get_model_version_download_uri("amid-x-student", version.version),
        client.get_run(run.info.run_id).info.artifact_uri,
    ):
        assert uri.startswith(artifact_uri(new) + "/")
    with closing(sqlite3.connect(new / "mlruns" / "mlflow.db")) as store:
        assert old.as_uri() + "/" not in "\n".join(store.iterdump())


ODD_NAMES = ["a%2Fb?c#d e%;&\u00e9", "a%2Fb", "a?b", "a#b", "a b%", "\u00e9;&"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_of_a_folder_will_do(name: str, tmp_path: Path) -> None:
    root = tmp_path / name
    root.mkdir()
    if name != ODD_NAMES[0]:  # with that one the store is made
        put_store(root)
    (root / "table.md").write_text("72.0")
    with Tracker("table1", root, {}) as tracker:
        tracker.log_files(root / "table.md")
    (path,) = artifacts_of(root).values()
    assert path.is_relative_to(root / "mlruns" / "artifacts")
    assert [path.name for path in tmp_path.iterdir()] == [name]


OTHER_VERSION = """
import sys
from pathlib import Path
from amid.tracking.tracker import Tracker

with Tracker("table1", Path(sys.argv[1]), {}) as tracker:
    tracker.log_metrics({"clips": 1})
print("made")
"""


@pytest.mark.slow
def test_a_store_that_a_newer_mlflow_has_opened_is_one_sentence(project: Path) -> None:
    open_client(project)
    with closing(sqlite3.connect(project / "mlruns" / "mlflow.db")) as store, store:
        store.execute("UPDATE alembic_version SET version_num = 'feedbeef0001'")
    command = [sys.executable, "-c", OTHER_VERSION, str(project)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "made\n")
    (line,) = done.stderr.splitlines()
    assert line.startswith("table1: goes on without MLflow: ")
    assert "was opened by another version of MLflow" in line
    assert "`dvc repro --force --single-item table1` logs what is missing later" in line


def test_a_damaged_store_is_told_at_once(tmp_path: Path, capsys) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").write_bytes(b"<html>" * 1000)
    start = time.monotonic()
    with Tracker("table1", tmp_path, {}) as tracker:
        tracker.log_metrics({"clips": 1})
    assert time.monotonic() - start < 60
    assert "file is not a database" in capsys.readouterr().err


def test_any_error_of_mlflow_lets_the_stage_go_on_and_a_bug_of_ours_does_not(
    project: Path, monkeypatch, capsys
) -> None:
    with Tracker("table1", project, {}) as tracker:
        tracker.log_metrics({"a name that MLflow refuses: \n|": 1.0})
        tracker.log_metrics({"clips": 1})
    assert capsys.readouterr().err.count("goes on without MLflow: MLflow cannot use ") == 1
    with pytest.raises(TypeError), Tracker("table1", project, {}) as tracker:
        tracker.log_metrics({"clips": None})
