"""Converting the numbers of a file to those of sRGB: alpha, depth, profiles."""
