"""Losses: pure functions of tensors, one family of equations a file."""

UNLABELLED = -1  # the class index of a sample without a label; also in amid.data.manifest
