"""Layouts: what the numbers mean that detectors of graph files compute."""
