"""Networks: encoders of one modality, the fusion teacher, discriminators, and their composition."""

# Encoders by their names in params.yaml: (module, class). A module is imported only where a run
# uses it, and only then does its code count as the run's.
ENCODERS = {
    "gru": ("amid.networks.encoders", "GruEncoder"),
    "cnn": ("amid.networks.encoders", "CnnEncoder"),
    "mlp": ("amid.networks.encoders", "MlpEncoder"),
    "r2plus1d": ("amid.networks.r2plus1d", "R2Plus1d"),
}
