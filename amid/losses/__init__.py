"""Losses: pure functions of tensors, one family of equations a file."""

UNLABELLED = -1  # in place of the class index of a sample without a label
