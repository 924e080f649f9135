"""Why a clip is quarantined."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a clip is excluded; the values are in `quarantine.parquet`."""

    missing_file = "missing_file"
    empty_file = "empty_file"
    not_media = "not_media"
    no_picture = "no_picture"
    no_sound = "no_sound"
    too_few_frames = "too_few_frames"
    header_only = "header_only"
    truncated = "truncated"
    zeroed = "zeroed"
    corrupt = "corrupt"
    durations_disagree = "durations_disagree"
    not_finite = "not_finite"
    wrong_extension = "wrong_extension"
    wrong_type = "wrong_type"
    wrong_shape = "wrong_shape"
    silent = "silent"
    span_outside = "span_outside"
    unreadable_text = "unreadable_text"
    crashed = "crashed"  # decoding ended its process
    timeout = "timeout"
    memory = "memory"
    bad_alignment = "bad_alignment"  # word times that are missing or contradict the file


class MediaError(Exception):
    """A clip that cannot be used. detail: what was found, with numbers where there are any."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)  # both, so that the error survives pickling
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
