"""Optional data of each row: one module a column."""
