"""RAVDESS: 24 actors speak two sentences in eight emotions, filmed with sound.

Corpus: S. R. Livingstone, F. A. Russo (2018), The Ryerson Audio-Visual Database of Emotional Speech
and Song (RAVDESS), PLoS ONE 13(5), e0196391, published as Zenodo record 1188976 with an archive
`Video_Speech_Actor_NN.zip` an actor. A file's name spells its clip in seven numbers: modality (01:
picture with sound), channel (01: speech), emotion, intensity, statement, repetition, actor. Speech
with picture and sound is read; songs and films without sound are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from amid.errors import AmidError
from amid.io.atomic import replace_dir
from amid.io.project import find_input
from amid.media import Reason
from amid.sources.archives import unpack
from amid.sources.local_media import read_problems, take, write_problems

if TYPE_CHECKING:  # read with params.yaml by every stage: pandas and requests wait until needed
    import pandas as pd

    from amid.sources.download import Patience

# Of the data set's description (amid.inspection.croissant).
ABOUT = {
    "description": "Emotional speech of actors, filmed with sound; one clip a statement.",
    "url": "https://zenodo.org/records/1188976",
    "license": "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    "citeAs": "S. R. Livingstone, F. A. Russo (2018). The Ryerson Audio-Visual Database of "
    "Emotional Speech and Song (RAVDESS). PLoS ONE 13(5), e0196391.",
    "rai:dataCollection": "Actors spoke two statements in a studio, in eight emotions at up to two "
    "intensities, twice each.",
    "rai:dataLimitations": "Acted emotions, two statements, one accent.",
    "rai:dataBiases": "24 professional actors, speakers of North American English.",
    "rai:personalSensitiveInformation": "Faces and voices of the actors.",
}
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
ACTORS = 24
FILM = re.compile(
    r"0(?P<modality>[123])-0(?P<channel>[12])-0(?P<emotion>[1-8])-0[12]-0[12]-0[12]-"
    r"(?P<actor>0[1-9]|1[0-9]|2[0-4])"
)

Actor = Annotated[int, Field(strict=True, ge=1, le=ACTORS)]


class Options(BaseModel):
    """recordings: where Actor_01 to Actor_24 lie already; None downloads them. folds: of whole
    pairs of actors, each of a man and the woman after him."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Not in records of runs: another folder with the same files is the same data set.
    recordings: str | None = Field(default=None, exclude=True, min_length=1)
    record: Annotated[str, Field(pattern=r"^[0-9]+$")] = "1188976"
    actors: Literal["all"] | Annotated[tuple[Actor, ...], Field(min_length=1)] = "all"
    folds: Annotated[int, Field(strict=True, ge=3, le=ACTORS // 2)] = 6
    sha256: dict[str, str | None] = {}

    @field_validator("actors")
    @classmethod
    def _once(cls, actors: Any) -> Any:
        if len(set(actors)) < len(actors) and actors != "all":
            raise ValueError("an actor stands there twice")
        return actors

    @field_validator("sha256")
    @classmethod
    def _sums(cls, sums: dict[str, str | None]) -> dict[str, str | None]:
        for name, value in sums.items():
            if name not in {archive_of(actor) for actor in range(1, ACTORS + 1)}:
                raise ValueError(
                    f"'{name}' is none of the files: {archive_of(1)} to {archive_of(ACTORS)}"
                )
            if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
                raise ValueError(f"the sum of {name} is not 64 hexadecimal digits")
        return sums


def archive_of(actor: int) -> str:
    """The name of an actor's archive in the record."""
    return f"Video_Speech_Actor_{actor:02d}.zip"


def chosen(options: Options) -> list[int]:
    """The numbers of the actors that are read, sorted."""
    return list(range(1, ACTORS + 1)) if options.actors == "all" else sorted(options.actors)


def listed(actor: int) -> list[str]:
    """The 60 clips of an actor, sorted; neutral has no strong intensity."""
    return [
        f"01-01-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}"
        for emotion, intensity, statement, repetition in product(
            range(1, len(EMOTIONS) + 1), (1, 2), (1, 2), (1, 2)
        )
        if (emotion, intensity) != (1, 2)
    ]


# ---------------------------------------------------------------------------------- the files


def fetch(
    options: Options,
    folder: Path,
    *,
    mirror: str | None = None,
    workers: int = 1,
    cache: Path | None = None,
    patience: Patience | None = None,
    echo: Callable[[str], None] = print,
) -> dict[str, Any]:
    """The films as `folder`/raw/Actor_NN/<clip>.mp4, from the disk or downloaded; returns the files
    and counts.

    Clips that an actor's folder lacks go to `problems`. Raises AmidError: folders that are missing,
    archives that cannot be had or unpacked, films of other names.
    """
    actors, files = chosen(options), []
    source = None if options.recordings is None else find_input(options.recordings)
    with replace_dir(folder / "raw") as part:
        part.mkdir(exist_ok=True)
        if source is not None:
            _link(source, part, actors)
        else:
            archives = cache or folder.parent / ".archives" / folder.name
            for actor in actors:
                files.append(
                    _download(options, actor, part, folder, archives, mirror, patience, echo)
                )
        found = {path.stem for path in part.rglob("*.mp4")}
        expected = [clip for actor in actors for clip in listed(actor)]
        missing = [clip for clip in expected if clip not in found]
        write_problems(
            part / "problems.json",
            [
                {
                    "id": clip,
                    "modality": "video",
                    "reason": str(Reason.missing_file),
                    "detail": f"not in Actor_{clip[-2:]}",
                }
                for clip in missing
            ],
        )
    counts = {"clips": len(found), "expected": len(expected), "actors": len(actors)}
    echo(f"ravdess: {len(found)} of {len(expected)} clips of {len(actors)} actors.")
    return {"files": files, "counts": counts}


def _link(source: Path, part: Path, actors: Iterable[int]) -> None:
    """Hard links of the films in `source`/Actor_NN as part/Actor_NN/<clip>.mp4."""
    absent = [f"Actor_{n:02d}" for n in actors if not (source / f"Actor_{n:02d}").is_dir()]
    if absent:
        raise AmidError(
            f"{source} lacks {', '.join(absent)}: unpack these actors' archives there, name those "
            "that are there in `actors` of the data set's file in dataset/, or set `recordings` "
            "there to null to download."
        )
    for actor in actors:
        where = f"{source / f'Actor_{actor:02d}'}"
        films = sorted((source / f"Actor_{actor:02d}").glob("*.mp4"))
        placed = {film: _place(film.name, actor, where) for film in films}
        kept = {film: place for film, place in placed.items() if place}
        if not kept:
            raise AmidError(_holds_none(where, actor))
        for film, place in kept.items():
            take(film, part / f"Actor_{actor:02d}" / place)


def _download(
    options: Options,
    actor: int,
    part: Path,
    folder: Path,
    archives: Path,
    mirror: str | None,
    patience: Patience | None,
    echo: Callable[[str], None],
) -> dict[str, str | int | bool]:
    """Obtain and unpack the archive of an actor; returns its record."""
    from amid.sources.download import obtain

    name = archive_of(actor)
    obtained = obtain(
        name,
        f"https://zenodo.org/records/{options.record}/files/{name}?download=1",
        archives / name,
        mirror=mirror,
        sha256=options.sha256.get(name),
        pin_under=f"options.sha256 of dataset/{folder.name}.yaml",
        patience=patience,
        echo=echo,
    )
    place = lambda path: _place(path, actor, name)  # noqa: E731
    if not unpack(obtained.path, part / f"Actor_{actor:02d}", place=place):
        raise AmidError(_holds_none(name, actor))
    return obtained.record()


def _holds_none(where: str, actor: int) -> str:
    return (
        f"{where} holds no film like {listed(actor)[0]}.mp4, speech with picture and sound: take "
        f"{archive_of(actor)} from the release."
    )


def _place(name: str, actor: int, where: str) -> str | None:
    """`Actor_01/01-01-03-01-01-01-01.mp4` -> its last part; None for what is not speech with
    picture and sound. Raises AmidError for a film of another name or actor."""
    path = PurePosixPath(name)
    if path.suffix.lower() != ".mp4" or path.name.startswith(".") or "__MACOSX" in path.parts:
        return None
    match = FILM.fullmatch(path.stem)
    if match is None or int(match["actor"]) != actor:
        raise AmidError(
            f"{where} holds {ascii(path.name)[:100]}, which is not called like a film of actor "
            f"{actor}, such as {listed(actor)[0]}.mp4: take it out, or get the release again."
        )
    return f"{path.stem}.mp4" if match["modality"] == match["channel"] == "1" else None


# ---------------------------------------------------------------------------------- the manifest


def rows(options: Options, folder: Path) -> pd.DataFrame:
    """The manifest, one row a film, sorted by id. Fold 0 tests and fold 1 validates in runs without
    folds; an actor's clips are all in one."""
    import pandas as pd

    raw = folder / "raw"
    kept = [
        clip
        for actor in chosen(options)
        for clip in listed(actor)
        if (raw / f"Actor_{actor:02d}" / f"{clip}.mp4").is_file()
    ]
    if not kept:
        raise AmidError(f"{raw} holds no film of the actors: run the download stage again.")
    kept.sort()
    pairs = sorted({(actor - 1) // 2 for actor in chosen(options)})
    if len(pairs) < options.folds:
        raise AmidError(
            f"ravdess: {len(pairs)} pairs of actors cannot make {options.folds} folds: name more "
            "`actors`, or lower `folds`, in the data set's file in dataset/."
        )
    fold_of = {pair: rank % options.folds for rank, pair in enumerate(pairs)}
    folds = [fold_of[(int(clip[-2:]) - 1) // 2] for clip in kept]
    paths = [f"raw/Actor_{clip[-2:]}/{clip}.mp4" for clip in kept]
    columns: dict[str, Any] = {
        "id": kept,
        "label": [EMOTIONS[int(clip[6:8]) - 1] for clip in kept],
        "split": [{0: "test", 1: "validation"}.get(fold, "train") for fold in folds],
        "fold": folds,
        "group": [f"Actor_{clip[-2:]}" for clip in kept],
    }
    for modality in ("video", "audio"):
        columns[f"{modality}_path"] = paths
        columns[f"{modality}_start"] = columns[f"{modality}_end"] = float("nan")
    return pd.DataFrame(columns).astype({"fold": "int64"})


def problems(options: Options, folder: Path) -> pd.DataFrame:
    """The clips of the release that `rows` lacks: id, modality, reason, detail (all str)."""
    return read_problems(folder / "raw" / "problems.json")
