"""From files to features: reading ahead, decoding, batches for the network. Knows no index."""
