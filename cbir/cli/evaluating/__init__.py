"""What `cbir evaluate` measures: searches, searches across domains, boxes, faces; one module each."""
