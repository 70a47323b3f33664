"""Output for terminals, pipes and logs: messages, tables, thumbnails."""
