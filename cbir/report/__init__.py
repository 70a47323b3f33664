"""Showing results beside the shell: contact sheets and HTML pages."""
