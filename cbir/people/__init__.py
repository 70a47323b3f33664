"""People: the faces of an index in groups, their names, and what users have corrected."""
