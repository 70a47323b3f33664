"""Finding the place of something in an image."""
