"""Contrastive pre-training on pairs without labels: data, networks, training loop, retrieval."""
