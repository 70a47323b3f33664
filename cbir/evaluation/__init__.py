"""How well pictures are found: leave-one-out retrieval, measured (`docs/evaluate.md` has the definitions)."""
