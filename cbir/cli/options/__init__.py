"""Options and lists as they are typed, and how they are understood."""
