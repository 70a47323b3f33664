"""Finding the pictures of an index that are the same, or nearly."""
