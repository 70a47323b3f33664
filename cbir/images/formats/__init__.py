"""Files of images: what they are, and those that Pillow alone does not read."""
