"""Routes of the server: one file for each kind of thing. A new one is a line in `app.py`, too."""
