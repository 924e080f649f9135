"""One thin file a stage of the DAG: read params, call amid, write outs."""

import os
import sys

try:
    import pydantic  # noqa: F401
except ModuleNotFoundError:
    sys.exit(
        "The packages are not installed for this python; run `make repro`, or activate the virtual "
        f"environment first: `. {os.path.join('.venv', 'bin', 'activate')}`."
    )

import amid.core.reproducible  # noqa: F401  pins kernels before torch, numpy and OpenCV load
