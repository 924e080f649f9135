"""What a data set holds: a block for params.yaml, a linear probe, a description in Croissant."""
