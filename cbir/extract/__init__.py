"""Extracting features from files: reading ahead, decoding, batches for the network. Knows no index."""
