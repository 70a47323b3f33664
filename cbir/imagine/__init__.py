"""Pictures that a network would draw: of a feature, a class, a style."""
