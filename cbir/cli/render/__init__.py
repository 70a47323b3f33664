"""Rendering results as commands print and write them."""
