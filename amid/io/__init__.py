"""Files, checksums, processes, progress and safe text."""
