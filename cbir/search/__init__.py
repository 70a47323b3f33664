"""Reading an index for queries, by image, part or word: candidates, order, results."""
