"""Measures how fast cbir is, against the plain way of doing the same: `python -m benchmarks` (see README.md)."""
