"""Moving rows of indexes: out to files of other programs, in from them, and together."""
