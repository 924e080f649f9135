"""Data sets by name: one file each, with Options, fetch() and rows()."""

DATASETS: dict[str, str] = {
    "avlips": "amid.datasets.avlips",
    "grid": "amid.datasets.grid",
}
