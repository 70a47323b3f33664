"""Measurements of `cbir evaluate`: searches, searches across domains, boxes, faces; one module each."""
