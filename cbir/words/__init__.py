"""Words for pictures: WordNet's nouns, and which of ImageNet's classes stand for each."""
