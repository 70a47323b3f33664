"""Pictures: finding them in a folder, reading them, fitting them to a network's input."""
