"""A data set described in Croissant, the JSON-LD vocabulary of ML Commons for data sets.

Croissant 1.0 (http://mlcommons.org/croissant/1.0) with the fields for responsible AI, `rai:`
(http://mlcommons.org/croissant/RAI/1.0). The records are the rows of the manifest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from amid.io.checksums import sha256_file

if TYPE_CHECKING:
    from amid.config import DataSet

# The context as mlcroissant 1.1.1 writes it.
TERMS = (
    *("citeAs", "column", "conformsTo", "equivalentProperty", "extract", "field", "fileProperty"),
    *("fileObject", "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5"),
    *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace"),
    *("samplingRate", "separator", "source", "subField", "transform"),
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{term: f"cr:{term}" for term in TERMS},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
MANIFEST = "manifest.parquet"
COLUMNS = {
    "id": "name of the clip, unique",
    "label": "class of the clip",
    "split": "train, validation, test, or auxiliary: pre-trains encoders of auxiliary modalities",
    "fold": "test fold in a cross-validation; -1 for none",
    "group": "what a split keeps together, such as a speaker",
}
# Of a data set whose module has no ABOUT: nothing is made up.
UNKNOWN = {
    "rai:dataCollection": "Not recorded. The clips were taken as a manifest names them.",
    "rai:dataLimitations": "Not recorded.",
    "rai:dataBiases": "Not recorded.",
    "rai:personalSensitiveInformation": "Not recorded: pictures and sound may show persons.",
}


def croissant(
    name: str, block: DataSet, folder: Path, about: Mapping[str, Any], content_url: str
) -> dict[str, Any]:
    """The description of the data set `name`, made in `folder` by the stage `download`.

    about: what its module's ABOUT says, in schema.org's and Croissant's terms. content_url: address
    of the manifest, absolute or relative to the file that the description is written to.
    """
    path = folder / MANIFEST
    table = pd.read_parquet(path)
    splits, classes = table["split"].value_counts(), table["label"].nunique()
    shown = ", ".join(f"{splits[split]} {split}" for split in sorted(splits.index))
    counted = (
        f"{len(table)} clips of {classes} classes ({shown}). Target modality: {block.target}; "
        f"auxiliary: {', '.join(block.auxiliary)}. Paths are relative to the manifest's folder."
    )
    given = {**UNKNOWN, **about}
    description = " ".join(filter(None, [given.pop("description", ""), counted]))
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.0",
            "http://mlcommons.org/croissant/RAI/1.0",
        ],
        "name": name,
        "description": description,
        "version": "1.0.0",
        **given,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": MANIFEST,
                "name": MANIFEST,
                "description": "One row a clip.",
                "contentUrl": content_url,
                "encodingFormat": "application/x-parquet",
                "sha256": sha256_file(path),
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "clips",
                "name": "clips",
                "description": "The clips, with the file and time span of each modality.",
                "key": {"@id": "clips/id"},
                "field": [_field(column, table[column]) for column in table.columns],
            }
        ],
    }


def write_croissant(found: Mapping[str, Any], path: Path) -> None:
    """JSON with sorted keys: the same bytes for the same data set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def _field(column: str, values: pd.Series) -> dict[str, Any]:
    kind = "sc:Text"
    if pd.api.types.is_bool_dtype(values):
        kind = "sc:Boolean"
    elif pd.api.types.is_integer_dtype(values):
        kind = "sc:Integer"
    elif pd.api.types.is_float_dtype(values):
        kind = "sc:Float"
    modality, _, end = column.rpartition("_")
    of_modality = {
        "path": f"file of the modality {modality}; empty where the clip lacks it",
        "start": f"second of the file at which {modality} starts; NaN: the file's start",
        "end": f"second of the file at which {modality} ends; NaN: the file's end",
    }
    text = COLUMNS.get(column) or of_modality.get(end) or f"column {column}"
    if column == "label" and values.isna().any():
        text += "; empty where it is not known"
    return {
        "@type": "cr:Field",
        "@id": f"clips/{column}",
        "name": f"clips/{column}",
        "description": text,
        "dataType": kind,
        "source": {"fileObject": {"@id": MANIFEST}, "extract": {"column": column}},
    }
