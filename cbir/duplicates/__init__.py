"""Which pictures of an index are the same, or nearly."""
