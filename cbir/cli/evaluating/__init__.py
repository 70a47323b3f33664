"""What `cbir evaluate` measures: searches, boxes, faces; one module each."""
