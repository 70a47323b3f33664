"""An index on disk: rows of numbers and the names of the files that they belong to. Knows nothing of networks."""
