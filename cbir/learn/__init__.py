"""Learning a notion from labels: labelled folders, lists, pairs and marks."""
