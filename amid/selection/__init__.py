"""Sample selection: which samples of a batch are trained on."""
