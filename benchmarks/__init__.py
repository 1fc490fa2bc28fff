"""Experiments with scalegroup: `python -m benchmarks NAME`, from a checkout of the repository (not installed)."""
