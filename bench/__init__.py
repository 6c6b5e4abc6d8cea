"""Benchmarks: each prints ratios against a baseline that ran in the same minutes."""
