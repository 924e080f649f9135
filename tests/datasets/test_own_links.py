"""Links in a folder of own data: which are followed, and what DVC itself says of them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from amid.datasets import own
from amid.datasets.own.links import check_links, unseen_by_dvc
from amid.errors import AmidError
from tests.datasets.test_own_sheets import clips, folder, got, informed, lines  # noqa: F401
from tests.params import put_params, read_params
from tests.small import ROOT

MD5, SHA256 = "0123456789abcdef" * 2, "0123456789abcdef" * 4
ANNEX = f"SHA256E-s136--{SHA256}.npy"
STORES = {
    "dvc": f"cache/files/md5/{MD5[:2]}/{MD5[2:]}",
    "hugging face": f"hub/datasets--a--b/blobs/{SHA256}",
    "git-annex": f"repo/.git/annex/objects/Xz/9K/{ANNEX}/{ANNEX}",
}


@pytest.fixture
def mine(folder: Path) -> Path:  # noqa: F811
    (folder / "m.csv").write_text("\n".join(lines(clips())))
    return folder


def moved(path: Path, target: Path) -> None:
    """The path becomes a link to where its file or folder now is."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, target)
    path.symlink_to(target)


def refused(mine: Path, **values) -> str:
    with pytest.raises(AmidError) as caught:
        got(mine, "m.csv", **values)
    return str(caught.value)


@pytest.mark.parametrize("store", STORES)
def test_links_to_a_store_of_contents_are_followed(mine: Path, store: str) -> None:
    moved(mine / "f" / "3.npy", mine.parent / STORES[store])
    moved(mine / "m.csv", mine.parent / STORES[store].replace("0123", "3210"))
    frame, _ = got(mine, "m.csv")
    copy = mine.parent / "out" / frame["va_path"][3]
    assert not copy.is_symlink()
    assert copy.read_bytes() == (mine / "f" / "3.npy").read_bytes()


@pytest.mark.parametrize(
    "target", ["cache/files/md5/01/short", "blobs/secret", ".ssh/id_rsa", f"{MD5}"]
)
def test_other_links_out_of_the_folder_need_a_word(mine: Path, target: str) -> None:
    moved(mine / "f" / "3.npy", mine.parent / target)
    text = refused(mine)
    assert "`va`: a link out of the folder: put the file itself there, or set `follow_links" in text
    assert f"line 5: f/3.npy: f/3.npy -> {mine.parent / target}" in text
    assert len(got(mine, "m.csv", follow_links=True)[0]) == 12


def test_a_link_inside_the_folder_is_followed(mine: Path) -> None:
    moved(mine / "f" / "3.npy", mine / "g" / "3.npy")
    assert len(got(mine, "m.csv")[0]) == 12


@pytest.mark.parametrize("target", ["mine/v2", "elsewhere"])
def test_a_linked_folder_is_refused_by_its_name(mine: Path, target: str) -> None:
    moved(mine / "f", mine.parent / target)
    for follow in (False, True):
        text = refused(mine, follow_links=follow)
        assert f"behind a link to a folder (f -> {mine.parent / target}), where DVC sees no" in text
        assert "line 2: f/0.npy\n" in text


def test_another_dvc_project_inside_is_refused(mine: Path, monkeypatch) -> None:
    (mine / "f" / ".dvc").mkdir()
    assert len(got(mine, "m.csv")[0]) == 12  # outside the project DVC sees into it
    monkeypatch.chdir(mine.parent)
    assert "`va`: in another DVC project (f), where DVC sees no changes" in refused(mine)
    (mine / "f" / ".dvc").rmdir()
    (mine / ".dvc").mkdir()  # the folder itself may be one: DVC sees into it
    assert len(got(mine, "m.csv")[0]) == 12


def test_the_manifest_behind_a_linked_folder_is_refused(mine: Path) -> None:
    (mine / "lists").mkdir()
    shutil.move(mine / "m.csv", mine / "lists" / "m.csv")
    moved(mine / "lists", mine.parent / "other")
    with pytest.raises(AmidError, match=r"'lists/m\.csv' in the folder .* is behind a link to a f"):
        own.fetch(informed(mine, "lists/m.csv", root="."), mine.parent / "out")


def test_links_to_nothing_are_told(mine: Path) -> None:
    (mine / "f" / "3.npy").unlink()
    (mine / "f" / "3.npy").symlink_to("gone.npy")
    text = refused(mine)
    assert "a link to nothing, on which DVC stops: get the file (`git annex get`" in text
    assert "line 5: f/3.npy: f/3.npy -> gone.npy" in text


def test_what_keeps_dvc_from_reading_a_folder(mine: Path, monkeypatch) -> None:
    monkeypatch.chdir(mine.parent)
    assert unseen_by_dvc(mine) == []
    assert unseen_by_dvc(mine / "nowhere") == []
    (mine / "unused").symlink_to("nowhere")
    for name in (".git", "project/.dvc"):
        (mine / name).mkdir(parents=True)
        (mine / name / "b").symlink_to("nowhere")
    (mine / "project" / "b").symlink_to("nowhere")  # DVC does not look into other projects
    (mine / "f" / ".dvcignore").touch()
    found = unseen_by_dvc(mine)
    assert [line.split(":")[0] for line in found] == [
        f"{mine / 'f' / '.dvcignore'}",
        f"{mine / 'unused'} -> nowhere",
    ]
    with pytest.raises(AmidError, match="DVC cannot read the folder") as caught:
        own.check_folder(informed(mine, "m.csv"))
    assert all(line in str(caught.value) for line in found)


def test_check_links_of_a_plain_path(mine: Path) -> None:
    assert check_links(mine, mine / "f" / "0.npy") is None
    assert check_links(mine, mine / "f" / "not there.npy") is None


@pytest.mark.slow
def test_dvc_sees_what_is_followed_and_nothing_else(mine: Path, tmp_path: Path) -> None:
    """DVC's own word on the rules: what it misses is refused, what it stops on is listed."""
    repo = tmp_path

    def dvc(*words: str) -> str:
        command = [sys.executable, "-m", "dvc", *words]
        done = subprocess.run(command, cwd=repo, capture_output=True, text=True)
        return done.stdout + done.stderr

    def changed() -> bool:
        return "changed deps" in dvc("status")

    dvc("init", "--no-scm", "-q")
    stage = {"cmd": "echo x > o", "deps": ["mine"], "outs": ["o"]}
    YAML().dump({"stages": {"s": stage}}, (repo / "dvc.yaml").open("w"))
    other = tmp_path / "other"
    (other / "v1").mkdir(parents=True)
    (other / "v2").mkdir()
    (other / "file").write_text("1")
    (mine / "file").symlink_to(other / "file")
    (mine / "current").symlink_to(other / "v1")
    (mine / "project" / ".dvc").mkdir(parents=True)
    dvc("repro", "-q")
    assert not changed()
    (mine / "current").unlink()
    (mine / "current").symlink_to(other / "v2")
    (mine / "project" / "x").touch()
    assert not changed()
    (other / "file").write_text("22")
    assert changed()
    (mine / "broken").symlink_to("nowhere")
    assert re.search(r"No such file or directory.*broken", dvc("status"))
    assert [line.split(":")[0] for line in unseen_by_dvc(mine)] == [f"{mine / 'broken'} -> nowhere"]
    (mine / "broken").unlink()
    (mine / "f" / ".dvcignore").touch()
    assert ".dvcignore file should not be in" in dvc("repro")


def test_the_stage_check_lists_them(tmp_path: Path, warm: Path) -> None:
    values = read_params()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.npy").symlink_to("nowhere")
    extract = {name: {"extractor": "features", "dims": 2} for name in ("va", "vb")}
    block = {"source": "own", "folder": "own", "options": {"manifest": "m.csv"}, "target": "va"}
    values["data"]["mine"] = {**block, "auxiliary": ["vb"], "extract": extract}
    values["datasets"] = ["mine"]
    put_params(tmp_path, values)
    done = subprocess.run(
        [warm / "python", "-m", "stages.check"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "DVC_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: DVC cannot read the folder own:\n  - own/a.npy -> nowher")
