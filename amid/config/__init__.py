"""params.yaml and dataset/*.yaml as checked records: a wrong key or value is one sentence that
names it."""

from amid.config.checks import (
    check_protocol,
)
from amid.config.messages import (
    block_file,
    check,
    unknown,
)
from amid.config.reading import (
    load,
    load_results,
    read_block,
)
from amid.config.records import (
    DataSet,
    Fusion,
    Model,
    Name,
    NonNegative,
    Params,
    Positive,
    PositiveFloat,
    Report,
    Selection,
    Training,
)

__all__ = [
    "DataSet",
    "Fusion",
    "Model",
    "Name",
    "NonNegative",
    "Params",
    "Positive",
    "PositiveFloat",
    "Report",
    "Selection",
    "Training",
    "block_file",
    "check",
    "check_protocol",
    "load",
    "load_results",
    "read_block",
    "unknown",
]
