"""What a terminal, a pipe and a log get: messages, tables, thumbnails."""
