"""A folder of clips in folders of classes, as the rows of a manifest (amid.datasets.own)."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from amid.errors import AmidError

FILMS = ".avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .webm .wmv"
SOUNDS = ".aac .flac .m4a .mp3 .ogg .opus .wav .wma"
KINDS: dict[str, str] = {
    **dict.fromkeys(FILMS.split(), "video"),
    **dict.fromkeys(SOUNDS.split(), "audio"),
    **{".txt": "text", ".npy": "features"},
}
SPLITS = {
    **{"train": "train", "training": "train", "test": "test", "testing": "test"},
    **{"val": "validation", "valid": "validation", "validation": "validation"},
}
OF_GROUP = re.compile(r"(?:^|_)(g\d+)(?=_|$)")  # v_Archery_g01_c02, as UCF101 names its clips


class Place(NamedTuple):
    """Where a file lies: what its folders and its name say of the clip."""

    split: str
    modality: str
    label: str
    group: str
    stem: str


def clips(folder: Path) -> list[dict[str, str]]:
    """The rows of a manifest of `folder`: id, label, a path per modality; split and group where the
    folders say so.

    Understood are <class>/<clip>, <class>/<group>/<clip>, <modality>/<class>/<clip> and
    <group>/<class>/<clip>, each below folders train, validation and test as well. Files of one name
    are the modalities of one clip; those without folders of their own are called by what they hold:
    video, audio, text or features. Raises AmidError where the folders say no classes.
    """
    files = [
        path.relative_to(folder)
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in KINDS and path.is_file()
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    places = _places(files, folder)
    found: dict[Place, dict[str, str]] = defaultdict(dict)
    for path, place in zip(files, places, strict=True):
        name = _name(place.modality) or KINDS[path.suffix.lower()]
        paths = found[place._replace(modality="")]
        if name in paths:
            raise AmidError(
                f"{folder} has two {name} files of one clip, {paths[name]} and {path}: rename one."
            )
        paths[name] = path.as_posix()
    modalities = sorted({name for paths in found.values() for name in paths})
    ids = _ids(list(found))
    rows = []
    for place, paths in found.items():
        row = {"id": ids[place], "label": place.label}
        if any(other.split for other in found):
            row["split"] = place.split
        if any(_group(other) for other in found):
            row["group"] = _group(place) or row["id"]
        rows.append(row | {name: paths.get(name, "") for name in modalities})
    return rows


def _places(files: list[Path], folder: Path) -> list[Place]:
    parts = [path.parts for path in files]
    if not parts:
        known = " ".join(sorted(KINDS))
        raise AmidError(f"{folder} holds neither a manifest nor any file of {known}.")
    splits = [""] * len(parts)
    if all(len(p) > 2 and p[0].lower() in SPLITS for p in parts):
        splits = [SPLITS[p[0].lower()] for p in parts]
        parts = [p[1:] for p in parts]
    depths = {len(p) for p in parts}
    if len(depths) > 1 or not depths <= {2, 3}:
        most = max(depths, key=_fit)
        odd = next(
            path
            for path, p in zip(files, parts, strict=True)
            if len(p) != most or most not in (2, 3)
        )
        raise AmidError(
            f"{folder} holds no manifest, and its files do not lie in folders of classes, as "
            f"<class>/<clip>, <class>/<group>/<clip> or <modality>/<class>/<clip>: {odd} does not. "
            "Sort them so, or write a manifest (docs/own-data.md)."
        )
    stems = [Path(p[-1]).stem for p in parts]
    if depths == {2}:
        return [
            Place(split, "", p[0], "", stem)
            for split, p, stem in zip(splits, parts, stems, strict=True)
        ]
    first, clip = {p[0] for p in parts}, defaultdict(set)
    for split, p, stem in zip(splits, parts, stems, strict=True):
        clip[split, p[1], stem].add(p[0])
    of_modalities = len(first) > 1 and 2 * sum(len(c) > 1 for c in clip.values()) > len(clip)
    seconds = [frozenset(p[1] for p in parts if p[0] == name) for name in sorted(first)]
    classes_below = len(first) > 1 and all(one & other for one in seconds for other in seconds)
    found = []
    for split, p, stem in zip(splits, parts, stems, strict=True):
        if of_modalities:
            found.append(Place(split, p[0], p[1], "", stem))
        elif classes_below:
            found.append(Place(split, "", p[1], p[0], stem))
        else:
            found.append(Place(split, "", p[0], p[1], stem))
    return found


def _fit(depth: int) -> tuple[bool, int]:
    return depth in (2, 3), -depth


def _group(place: Place) -> str:
    """The group that the folders or the clip's name give; of a name it is the class's own."""
    if place.group:
        return place.group
    found = OF_GROUP.search(place.stem)
    return f"{place.label}_{found[1]}" if found else ""


def _ids(places: list[Place]) -> dict[Place, str]:
    """Names that are unique: the file's, with as much of its folders as that takes."""
    for fields in (("stem",), ("label", "stem"), ("split", "group", "label", "stem")):
        ids = {p: "_".join(filter(None, (getattr(p, f) for f in fields))) for p in places}
        if len(set(ids.values())) == len(places):
            return ids
    return {place: f"{place.stem}_{number}" for number, place in enumerate(places)}


def _name(folder: str) -> str:
    """A modality's name: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9_]+", "_", folder.lower()).lstrip("_")
