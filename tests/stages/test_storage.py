"""Full disks and folders that cannot be written to: one sentence, what was there stays whole, and
the same command succeeds afterwards."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from amid.data import array_writers
from amid.data.feature_store import FeatureStore
from amid.errors import StorageError, storage_error
from amid.runs.scheduler import run_all
from amid.runs.store import RunStore
from amid.tracking.client import experiments, open_client
from amid.tracking.tracker import Tracker
from stages.common import run_stage
from tests.small import ROOT, small_run, write_data
from tests.stages.test_mistakes import refused, stage, write_params

Mount = Callable[[Path, str], None]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Puts a small disk of its own at a folder; of a given size, or read-only."""
    mounted: list[Path] = []

    def put(folder: Path, options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root can mount a small disk (tmpfs) to fill")
        mounted.append(folder)

    yield put
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def fill(folder: Path, left: int = 0) -> Path:
    """A file that takes all the room there is, but for `left` bytes."""
    filler = folder / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(folder).free - left))
    return filler


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no room is left"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EACCES, "this user has no access"),
        (errno.ENOTDIR, "a file lies where a folder has to be"),
    ],
)
def test_the_sentence_names_place_reason_and_free_room(tmp_path: Path, number, words) -> None:
    named = storage_error(OSError(number, "", str(tmp_path / "no" / "x")), Path("elsewhere"))
    unnamed = storage_error(OSError(number, ""), tmp_path)
    assert str(named).startswith(f"{tmp_path}/no/x cannot be used: {words}")
    assert str(unnamed).startswith(f"{tmp_path} cannot be used: {words}")
    for told in (named, unnamed):
        assert f" MB free in {tmp_path})" in str(told)
        assert "run the same command again" in str(told)


def test_other_errors_are_no_matter_of_storage(tmp_path: Path) -> None:
    for error in (FileNotFoundError(errno.ENOENT, "", "x"), ValueError("y"), OSError("z")):
        assert storage_error(error, tmp_path) is None


def test_a_stage_ends_in_that_sentence_and_others_in_their_traceback(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    (tmp_path / "data").write_text("a file")
    monkeypatch.setattr("sys.argv", ["stage"])
    with pytest.raises(SystemExit) as ended:
        run_stage(lambda: (tmp_path / "data" / "avlips").mkdir(parents=True))
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: {tmp_path}/data")
    assert "a file lies where a folder has to be" in told
    with pytest.raises(SystemExit, match=r"Traceback[^$]*ZeroDivisionError"):
        run_stage(lambda: 1 / 0)


@pytest.mark.slow
def test_mlflow_on_a_full_disk_costs_no_training(tmp_path: Path, mount: Mount, capfd) -> None:
    data = write_data(tmp_path / "avlips")
    plan, store = [small_run(data, "student_alone")], RunStore(tmp_path / ".runs")
    mount(tmp_path / "mlruns", "size=2m")
    filler = fill(tmp_path / "mlruns")

    def train() -> None:
        with Tracker("baselines@avlips", tmp_path, {}) as tracker:
            run_all(plan, store=store, data=data, workers=1, checkpoint_every=1, tracker=tracker)

    with pytest.raises(StorageError, match=r"mlruns.* cannot be used: no room is left"):
        train()
    told = capfd.readouterr()
    assert "1 runs, 1 trained" in told.out
    assert told.err.count("goes on without MLflow") == 1
    filler.unlink()
    train()
    assert "1 runs, 0 trained, 1 from the store" in capfd.readouterr().out
    client = open_client(tmp_path)
    runs = client.search_runs(experiments(client))
    assert [r.info.status for r in runs if "amid.run" in r.data.tags] == ["FINISHED"]


def test_a_read_only_mlruns_is_refused_at_once(tmp_path: Path, mount: Mount) -> None:
    mount(tmp_path / "mlruns", "ro,size=64k")
    with (
        pytest.raises(StorageError, match=r"mlruns.* cannot be used: the disk is read-only"),
        Tracker("table1", tmp_path, {}) as tracker,
    ):
        tracker.log_metrics({"clips": 3})


def test_a_full_run_store_ends_the_training_in_one_sentence(tmp_path: Path, mount: Mount) -> None:
    """The worker's error is the stage's; what was saved is gone on from."""
    from tests.runs.test_scheduler import Listener

    data = write_data(tmp_path / "avlips")
    plan, store = [small_run(data, "student_alone")], RunStore(tmp_path / ".runs")
    mount(tmp_path / ".runs", "size=2m")
    filler = fill(tmp_path / ".runs", left=40_000)

    def train() -> None:
        run_all(plan, store=store, data=data, workers=1, checkpoint_every=1, tracker=Listener())

    with pytest.raises(OSError, match="No space left") as caught:
        train()
    assert "no room is left" in str(storage_error(caught.value, tmp_path))
    assert not list(store.runs.glob("*/.*.part"))
    filler.unlink()
    train()
    record = store.record(plan[0].spec.key)
    assert record.spec == plan[0].spec
    assert len(record.history) == plan[0].spec.training["epochs"] == 6


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from amid.data.array_writers import allocate_memmap
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    allocate_memmap(Path(sys.argv[1]), np.float32, (100, 100))
except OSError as error:
    sys.exit(f"{error.strerror}: {error.filename or sys.argv[1]}")
"""


def test_a_memory_map_without_room_is_an_error_and_no_signal(tmp_path: Path, mount: Mount) -> None:
    path = tmp_path / "small" / "video.npy"
    path.parent.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.strip()) == (1, f"File too large: {path}")
    mount(path.parent, "size=64k")
    fill(path.parent, left=20_000)
    with pytest.raises(OSError, match=rf"No space left on device: '{path}'"):
        array_writers.allocate_memmap(path, np.float32, (100, 100))


def small(values) -> None:
    values["data"]["avlips"]["options"] |= {
        "words": ["bin", "lay"], "clips_per_word": 6, "train": 4, "validation": 4, "test": 4,
        "auxiliary_clips_per_word": 2,
    }  # fmt: skip


@pytest.mark.slow(seconds=30)
@pytest.mark.usefixtures("warm")
def test_a_download_onto_a_full_disk(tmp_path: Path, mount: Mount) -> None:
    place = tmp_path / "place"
    mount(place, "size=64m")
    write_params(place, small)
    filler = fill(place, left=100_000)
    refused(stage(place, "stages.download", "avlips"), 1, "no room is left on the disk")
    filler.unlink()
    done = stage(place, "stages.download", "avlips")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow(seconds=50)
@pytest.mark.usefixtures("warm")
def test_an_extraction_onto_a_full_disk_leaves_the_earlier_one(tmp_path, mount: Mount) -> None:
    place = tmp_path / "place"
    mount(place, "size=64m")
    write_params(place, small)
    done = stage(place, "stages.download", "avlips")
    assert done.returncode == 0, done.stderr
    folder = place / "data" / "avlips" / "features"
    folder.mkdir()
    (folder / "earlier.npy").write_bytes(b"whole")
    filler = fill(place, left=20_000)
    refused(stage(place, "stages.extract", "avlips"), 1, "no room is left on the disk")
    assert [path.read_bytes() for path in folder.iterdir()] == [b"whole"]
    filler.unlink()
    done = stage(place, "stages.extract", "avlips")
    assert done.returncode == 0, done.stderr
    assert len(FeatureStore.open(folder).array("video"))
