"""What a data set holds: own data -> its block, a linear probe, a description in Croissant."""
