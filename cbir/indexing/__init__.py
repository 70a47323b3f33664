"""Writing an index: finding files that are new or gone, making records of them, committing."""
