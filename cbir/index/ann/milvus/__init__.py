"""Milvus: a vector database that finds an index's candidates, and may have its features, too."""
