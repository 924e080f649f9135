"""Shards of pairs by webdataset's own writer, through the stages' code to a trained run."""

from __future__ import annotations

import io
import tarfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from amid import config
from amid.data.extraction import extract_features
from amid.data.manifest import check_manifest
from amid.data.splits import features_fingerprint
from amid.datasets import webdataset as shards
from amid.errors import AmidError, ConfigError
from amid.extractors import features, ngrams
from amid.runs.multiprocess import launch
from amid.runs.pairs import pair_run
from amid.studies import load_params
from amid.training.job import TrainingJob
from tests.pairs import pair_params
from tests.params import write_params
from tests.small import ROOT

library = pytest.importorskip("webdataset", reason="requirements-scale.txt")

COLOURS = ("red", "green", "blue", "white")
EXTRACT = {
    "picture": ("features", features.Options(dims=8)),
    "text": ("ngrams", ngrams.Options(dims=64)),
}


def write(path: Path, first: int, count: int, rng: np.random.Generator) -> None:
    """A shard of vectors, captions and a file that no modality asks for; number 3 has no text."""
    with library.TarWriter(str(path)) as writer:
        for n in range(first, first + count):
            words = [COLOURS[k] for k in rng.integers(0, 4, 3)]
            vector = np.zeros(8, np.float32)
            for place, word in enumerate(words[:2]):
                vector[4 * place + COLOURS.index(word)] = 1
            content = io.BytesIO()
            np.save(content, vector + rng.normal(scale=0.05, size=8).astype(np.float32))
            sample = {"__key__": f"{n:09d}", "img.npy": content.getvalue(), "json": b"{}"}
            if n != 3:
                sample["txt"] = " ".join(words).encode()
            writer.write(sample)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place, rng = tmp_path / "shards", np.random.default_rng(0)
    place.mkdir()
    write(place / "00000.tar", 0, 32, rng)
    write(place / "00001.tar", 32, 32, rng)
    write(place / "val.tar", 0, 24, rng)  # keys of other shards are other pairs
    return place


def options(folder: Path, **changed: object) -> shards.Informed:
    given = {
        "train": ("{00000..00001}.tar",),
        "validation": ("val*.tar",),
        "files": {"picture": "img.npy", "text": "txt"},
        **changed,
    }
    return shards.informed(
        shards.Options(**given), str(folder), EXTRACT, "picture", "dataset/mine.yaml"
    )


def test_from_shards_to_retrieval(folder: Path, tmp_path: Path) -> None:
    data, chosen = tmp_path / "data" / "mine", options(folder)
    sources = shards.fetch(chosen, data, mirror=None, workers=1)
    assert [one["name"] for one in sources["shards"]] == ["00000.tar", "00001.tar", "val.tar"]
    manifest = shards.rows(chosen, data)
    check_manifest(manifest)
    assert manifest["split"].value_counts().to_dict() == {"train": 64, "validation": 24}
    assert manifest["id"].iloc[[0, 32, 64]].tolist() == [
        "00000/000000000",
        "00001/000000032",
        "val/000000000",
    ]
    assert manifest["text_path"].isna().tolist() == [n in (3, 67) for n in range(88)]
    found = extract_features(
        manifest,
        data,
        data / "features",
        EXTRACT,
        workers=1,
        required=["picture", "text"],
        optional=["text"],
    )
    assert len(found.index) == 87  # the pair to validate on that lacks its text is excluded
    params = pair_params(epochs=30)
    block = config.DataSet(
        source="webdataset",
        folder=str(folder),
        options=chosen,
        target="picture",
        auxiliary=["text"],
        extract=EXTRACT,
        encoders={"picture": "mlp", "text": "mlp"},
    )
    params = params.model_copy(update={"data": {**params.data, "mine": block}})
    fingerprint = partial(features_fingerprint, data)
    run = pair_run(params, params.table7, "mine", 0, fingerprint, folder="all/seed0")
    record = launch(TrainingJob(run.spec, data, tmp_path / "run"))
    # One of five is right by chance: 16 kinds of picture, and captions differ in their last word.
    assert max(metrics["validation_r5"] for metrics in record.history) > 0.6
    assert record.steps["samples"] == 30 * 63


def test_the_same_shards_give_the_same_files(folder: Path, tmp_path: Path) -> None:
    chosen = options(folder)
    for place in ("one", "two"):
        shards.fetch(chosen, tmp_path / place, mirror=None, workers=1)
    files = sorted(path for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 1 + 2 * 88 - 2
    for path in files:
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": ("{00000..00002}.tar",)}, r"There is no shard .*00002.tar: correct"),
        ({"train": ("x*.tar",)}, r"No file fits 'x\*.tar' in"),
        ({"train": ("{0.tar",)}, r"The braces of '\{0.tar' are not closed"),
        ({"train": ("../other.tar",)}, "lies outside the folder"),
        ({"test": ("00001.tar",)}, r"00001.tar is named twice \(train, test\)"),
        ({"files": {"picture": "img.npy", "text": "caption"}}, "No shard holds a file that ends"),
    ],
)
def test_mistakes_are_one_sentence(
    folder: Path, tmp_path: Path, changed: dict, message: str
) -> None:
    (tmp_path / "other.tar").touch()
    with pytest.raises(AmidError, match=message):
        shards.fetch(options(folder, **changed), tmp_path / "data", mirror=None, workers=1)
    assert not (tmp_path / "data" / "raw").exists()


def test_a_damaged_shard_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    path = folder / "00001.tar"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(AmidError, match=r"The shard .*00001.tar cannot be read \("):
        shards.fetch(options(folder), tmp_path / "data", mirror=None, workers=1)


def test_names_in_a_shard_are_no_places(folder: Path, tmp_path: Path) -> None:
    """Neither a path that climbs nor a link leads anywhere; files are numbered."""
    with tarfile.open(folder / "00000.tar", "w") as archive:
        for name, content in (("../../out.txt", b"red"), ("/tmp/out.img.npy", b"x")):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    data = tmp_path / "data"
    shards.fetch(options(folder), data, mirror=None, workers=1)
    first = sorted(path.name for path in (data / "raw" / "000000").iterdir())
    assert first == ["00000000.txt", "00000001.img.npy"]
    assert not (tmp_path / "out.txt").exists()


def test_the_block_in_the_documents_is_read(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "contrastive.md").read_text(encoding="utf-8")
    found = page[page.index("# dataset/cc3m.yaml") :].partition("```")[0]
    path = write_params(tmp_path)
    (tmp_path / "dataset" / "cc3m.yaml").write_text(found, encoding="utf-8")
    block = load_params(path).dataset("cc3m")
    assert block.options.files == {"picture": "npy", "text": "txt"}
    assert block.options.labels is False
    with pytest.raises(AmidError, match=r"There is no shard /data/cc3m/00000.tar"):
        shards.find_shards(block.options)


def test_every_modality_has_an_ending_of_its_own(folder: Path) -> None:
    with pytest.raises(ValueError, match="two modalities have the same ending"):
        options(folder, files={"picture": "txt", "text": "txt"})
    with pytest.raises(
        ConfigError, match=r"^dataset/mine.yaml: 'options.files' names picture, but"
    ):
        options(folder, files={"picture": "img.npy"})
