"""Words for images: choosing them, and files that photo managers read."""
