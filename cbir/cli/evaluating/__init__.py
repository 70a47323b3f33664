"""Measurements of `cbir evaluate`: searches, searches across domains, stages, boxes, faces; one module each."""
