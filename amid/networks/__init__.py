"""Networks: encoders of one modality, the fusion teacher, discriminators, and their composition."""
