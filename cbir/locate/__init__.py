"""Where in an image something is."""
