"""Segments of images, from the stages of a backbone. `segmenter.Segmenter` is where to start."""
