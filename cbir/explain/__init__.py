"""Reasons why a picture was found: the share of each place, the words that both show, the neighbours on the way."""
