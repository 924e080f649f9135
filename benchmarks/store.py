"""Features of random samples: from one memory map against one .pt file a sample."""

from __future__ import annotations

from benchmarks.side_by_side import arguments, ratio, show, timed  # isort: skip  pins kernels first

import tempfile
from pathlib import Path

import numpy as np
import torch

FEATURES = (8, 128)  # of a clip of avlips or GRID


def main() -> None:
    given = arguments(__doc__, repeats=9, samples=5000, reads=2000)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        values = rng.normal(size=(given.samples, *FEATURES)).astype(np.float32)
        np.save(place / "all.npy", values)
        for number, value in enumerate(values):
            torch.save(torch.from_numpy(value), place / f"{number}.pt")
        store = np.load(place / "all.npy", mmap_mode="r", allow_pickle=False)
        order = rng.integers(given.samples, size=given.reads)

        def from_store() -> torch.Tensor:
            batches = np.array_split(order, max(1, len(order) // 64))
            return torch.cat([torch.from_numpy(store[rows]) for rows in batches])

        # The side that the project does not use; the files were written above.
        def from_files() -> torch.Tensor:
            read = [torch.load(place / f"{n}.pt", weights_only=True) for n in order]
            return torch.stack(read)

        assert torch.equal(from_store(), from_files())
        times = timed({"store": from_store, "files": from_files}, given.repeats)
    rates = {name: float(given.reads / np.median(values)) for name, values in times.items()}
    show(
        [
            {
                "memory map, samples/s": round(rates["store"]),
                "a .pt file a sample, samples/s": round(rates["files"]),
                "files / memory map": ratio(times["files"], times["store"]),
            }
        ],
        given.json,
    )


if __name__ == "__main__":
    main()
