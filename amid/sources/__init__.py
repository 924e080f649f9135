"""What data sets and extractors fetch with."""
