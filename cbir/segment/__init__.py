"""The parts of a picture: hypercolumns of a backbone's stages, clustered. `parts.Segmenter` is where to start."""
