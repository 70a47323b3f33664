"""A user's own likeness, learnt from labels: the mathematics, and its file in an index."""
