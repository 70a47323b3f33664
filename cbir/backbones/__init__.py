"""The networks whose features make pictures comparable. `backbone` is where to start, `families` where to add one."""
