"""Helpers that know nothing of pictures or indexes; everything may use them."""
