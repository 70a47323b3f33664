"""What writes an index: which files are new or gone, what is made of them, when it is committed."""
