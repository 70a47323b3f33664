"""What knows nothing of pictures or indexes, and everything may use."""
