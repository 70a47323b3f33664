"""What is typed: options and lists, and how they are understood."""
