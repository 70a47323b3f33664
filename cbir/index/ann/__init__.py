"""Candidates for a query, found without a look at all rows."""
