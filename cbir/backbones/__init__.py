"""The networks whose features make pictures comparable. `registry` is where to start."""
