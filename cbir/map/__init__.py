"""A whole collection as one picture: which pictures stand for it, and where on a grid each of them goes."""
