"""Measuring retrieval, leave one out (`docs/measures.md` has the definitions)."""
