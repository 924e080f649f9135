"""AMID: cross-modal knowledge distillation as one reproducible pipeline."""
