"""Two processes that share each batch do what one does with the whole of it, and end together."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import Timeout
from safetensors.torch import load_file

from amid import config
from amid.core.distributed import SINGLE_PROCESS, BatchSlice, World, world_of
from amid.errors import AmidError, ConfigError, Stopped
from amid.runs import multiprocess, plan
from amid.runs.store import RunStore
from amid.studies import load_params
from tests.params import put_params, read_params
from tests.sharing import CASES, film_spec, pieces, stepped, write_films
from tests.small import ROOT
from tests.training.test_trainer import left_by, train

PATIENCE = 120  # seconds: what hangs fails


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_films(tmp_path_factory.mktemp("shared") / "data")


@pytest.fixture(scope="module")
def folder(data: Path) -> Path:
    """What two processes leave of every case."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    words = [sys.executable, "-m", "tests.sharing", str(data.parent)]
    both = [subprocess.Popen([*words, str(rank), *CASES], env=environment) for rank in range(2)]
    try:
        assert [process.wait(timeout=2 * PATIENCE) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
            process.wait()
    return data.parent


@pytest.mark.slow(seconds=8)
@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one_with_the_joint_batch(case: str, folder: Path) -> None:
    """Uneven batches; discriminators from the first step on: losses, weights, running statistics,
    eta, S1, S2 and counts."""
    one = stepped(folder / "data", case, devices=1)
    two = load_file(folder / f"{case}.safetensors")
    assert one.keys() == two.keys()
    tolerance = CASES[case][-1]
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=tolerance, atol=tolerance, msg=name)
    assert float(one["moved"].max()) > tolerance  # the weights did learn


@pytest.mark.slow
def test_gradients_through_gather_and_statistics_are_those_of_the_joint_batch(folder) -> None:
    one = pieces(1)
    for rank in range(2):
        two = load_file(folder / f"pieces{rank}.safetensors")
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.slow(seconds=50)
def test_a_killed_and_a_stopped_run_end_in_a_sentence_and_go_on_to_the_same_bytes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = film_spec(data, processes=2, epochs=5)
    whole = train(spec, data, tmp_path / "whole")
    started: list[subprocess.Popen] = []
    process = multiprocess._process
    monkeypatch.setattr(
        multiprocess, "_process", lambda *of: started.append(process(*of)) or started[-1]
    )

    def kill(epoch: int, _: dict) -> None:
        if epoch == 1:  # the state after the first is saved
            started[1].kill()

    with pytest.raises(AmidError, match="process 1 of the 2 that share the batches was killed by"):
        train(spec, data, tmp_path / "cut", on_epoch=kill)
    assert [one.poll() is not None for one in started] == [True, True]
    seen: list[int] = []
    with pytest.raises(Stopped):
        train(
            spec,
            data,
            tmp_path / "cut",
            on_epoch=lambda epoch, _: seen.append(epoch),
            stop=lambda: bool(seen),
        )
    assert seen[0] > 0  # it went on from the state that was saved
    resumed = train(spec, data, tmp_path / "cut")
    assert left_by(resumed, tmp_path / "cut") == left_by(whole, tmp_path / "whole")


@pytest.mark.slow
def test_a_process_that_fails_ends_all_with_its_sentence(data: Path, tmp_path: Path) -> None:
    spec = dataclasses.replace(film_spec(data, processes=2), fold=9)
    with pytest.raises(AmidError, match="fold 9 was asked for"):
        train(spec, data, tmp_path / "run")


def torchrun(project: Path, count: int, *words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    run = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return subprocess.run(
        [sys.executable, "-m", *run, "-m", "stages.train_distributed", *words],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the films, whose small video student two processes share."""
    project = tmp_path_factory.mktemp("project")
    write_films(project / "data" / "ucf51")
    values = read_params()
    block = values["data"]["ucf51"]
    block["extract"]["video"] = {"extractor": "frames", "size": [20, 24]}
    block.setdefault("encoders", {})["video"] = "r2plus1d"
    values["network"]["r2plus1d"] |= {"blocks": 1, "width": 4, "window": 3, "size": 17}
    values["network"]["dim"] = 16
    values["datasets"], values["seeds"] = ["ucf51"], [0]
    values["sections"]["shared"] = ["l_ft"]
    values["training"] |= {"epochs": 2, "warmup_epochs": 1, "batch_size": 13, "processes": 2}
    put_params(project, values)
    return project


@pytest.mark.slow
def test_torchrun_trains_a_section_into_the_store(project: Path) -> None:
    told = torchrun(project, 2, "shared", "ucf51")
    assert told.returncode == 0, told.stderr
    assert "shared@ucf51: 2 runs trained" in told.stdout  # the warm-up is one
    records = list((project / ".runs").glob("*/*/record.json"))
    assert len(records) == 2
    for record in records:
        values = json.loads(record.read_text())
        assert values["spec"]["training"]["processes"] == 2
        lines = (record.parent / "journal.jsonl").read_text().splitlines()
        assert len(lines) == 1 + len(values["history"])
    warmup, run = re.findall(r"trained as (\w+)", told.stdout)
    (store,) = (record.parent.parent for record in records if record.parent.name == run)
    shutil.rmtree(store / warmup)  # nobody asks for it: what begins with it is there
    told = torchrun(project, 2, "shared", "ucf51")
    assert "shared@ucf51: 0 runs trained" in told.stdout


@pytest.mark.slow(seconds=10)
def test_torchrun_with_another_count_is_refused(project: Path) -> None:
    told = torchrun(project, 1, "shared", "ucf51")
    assert told.returncode != 0
    assert "error: torchrun started 1 processes, but a run of" in told.stderr
    assert "Traceback" not in told.stderr.split("error: ")[0]


def test_every_sample_is_one_process_s_in_any_part_of_a_batch() -> None:
    samples = torch.arange(10, 17)
    for size in (2, 3, 8):
        shares = [World(rank, size).slice_batch(samples, lambda own: own) for rank in range(size)]
        rows = torch.tensor([6, 0, 3, 4])
        chosen = [share.index_select(0, rows) for share in shares]
        for group, whole in ((shares, samples), (chosen, samples[rows])):
            joined = torch.full((len(whole),), -1)
            for share in group:
                assert len(share) == len(whole)
                joined[share.places] = share.own
            assert torch.equal(joined, whole)
            for length in (1, 3, 7):
                parts = [share.split(length) for share in group]
                for number, part in enumerate(whole.split(length)):
                    found = torch.cat([pieces[number] for pieces in parts])
                    assert torch.equal(found.sort().values, part.sort().values)
                    assert all(len(pieces) == len(whole.split(length)) for pieces in parts)


def test_one_process_shares_nothing() -> None:
    samples = torch.arange(3)
    assert SINGLE_PROCESS.slice_batch(samples, lambda own: own) is samples
    assert world_of(1) is SINGLE_PROCESS
    assert not isinstance(samples, BatchSlice)


def test_a_run_of_several_needs_as_many_processes() -> None:
    with pytest.raises(AmidError, match=r"'training\.processes' 3 was given 1 processes"):
        world_of(3)


class Heard:
    """The first process, which counts how often the others would hear of it."""

    rank, heard = 0, 0

    def any(self, flag: bool) -> bool:
        self.heard += 1
        return flag


def test_the_others_hear_of_the_first_while_it_waits_for_a_lock(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(multiprocess, "LOCK_SECONDS", 0.01)
    store, world = RunStore(tmp_path), Heard()
    held = store.lock("k")
    held.acquire()
    with pytest.raises(Stopped), multiprocess._locked(store, "k", world, lambda: world.heard > 6):
        pass
    assert world.heard == 8  # twice a round: is it taken, is one told to stop
    held.release()
    with multiprocess._locked(store, "k", world, lambda: False), pytest.raises(Timeout):
        held.acquire(timeout=0.01)
    held.acquire(timeout=0.01)


def test_the_cause_is_told_and_not_who_missed_whom(tmp_path: Path) -> None:
    def leave(rank: int, missed: bool, text: str) -> None:
        told = {"rank": [missed, rank], "sentence": True, "text": text, "exit_code": 2}
        (tmp_path / f"error{rank}.json").write_text(json.dumps(told))

    leave(0, True, "another process has ended")
    leave(1, False, "no such file")
    error = multiprocess._failure(tmp_path, [1, 1])
    assert (str(error), error.exit_code) == ("no such file", 2)
    assert "killed by SIGKILL" in str(multiprocess._failure(tmp_path, [1, -9]))


def edited(tmp_path: Path, encoder: str, **training: int) -> config.Params:
    values = read_params()
    block = values["data"]["ucf51"]
    if encoder == "r2plus1d":
        block["extract"]["video"] = {"extractor": "frames", "size": [20, 24]}
        block.setdefault("encoders", {})["video"] = encoder
    values["training"] |= training
    put_params(tmp_path, values)
    return load_params(tmp_path / "params.yaml")


def spec_of(params: config.Params) -> dict:
    run = plan.configured_run(params, "ucf51", "l_ft", 0, lambda *_: "features")
    return run.spec.training


def test_the_count_is_part_of_a_run_when_it_is_not_one(tmp_path: Path) -> None:
    assert "processes" not in spec_of(edited(tmp_path, "r2plus1d", processes=1))
    params = edited(tmp_path, "r2plus1d", processes=2)
    assert spec_of(params)["processes"] == 2
    for run in plan.auxiliary_runs(params, "ucf51", "train", lambda *_: "features"):
        assert "processes" not in run.spec.training  # small, and no student


def test_what_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only a 'r2plus1d' can be shared by several processes"):
        spec_of(edited(tmp_path, "gru", processes=2))
    with pytest.raises(ConfigError, match="leaves some without a sample"):
        spec_of(edited(tmp_path, "r2plus1d", processes=8, batch_size=4))
