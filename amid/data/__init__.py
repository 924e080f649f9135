"""From a manifest to features, and from features to batches."""
