"""Reading text files."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from amid.media import MediaError, Reason


def read_text(path: Path, lower: bool = True) -> str:
    """A UTF-8 file's text, in lower case if wanted so, runs of white space as one space.

    Raises MediaError.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MediaError(
            Reason.unreadable_text, f"{path.name} is not UTF-8 at byte {error.start}"
        ) from error
    except OSError as error:
        raise MediaError(Reason.missing_file, f"{path.name}: {error.strerror}") from error
    text = unicodedata.normalize("NFKC", text)
    text = " ".join((text.casefold() if lower else text).split())
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cc")
    if not text:
        raise MediaError(Reason.empty_file, f"{path.name} holds no text")
    return text
