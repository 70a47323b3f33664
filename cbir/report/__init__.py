"""What is shown of results beside the shell: contact sheets and HTML pages."""
