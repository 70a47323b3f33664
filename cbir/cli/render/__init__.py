"""From results to what commands print and write."""
