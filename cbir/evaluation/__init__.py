"""How well pictures are found: leave-one-out retrieval, measured (`docs/measures.md` has the definitions)."""
