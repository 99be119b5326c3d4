"""The ways that `benchmarks.compare` compares, each a program of its own in its own environment."""
