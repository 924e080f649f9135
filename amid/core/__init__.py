"""Shared records, reproducibility, checkpoints, and data parallelism."""
