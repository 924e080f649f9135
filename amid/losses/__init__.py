"""Losses: pure functions of tensors, one family of equations a file."""
