"""Losses: pure functions of tensors, one family of equations a file."""

# The class index of a sample without a label: PyTorch's ignore_index. Also in amid.data.manifest.
UNLABELLED = -100
