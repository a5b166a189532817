"""Jobs: start, read, follow, control and retry them, and keep their rows in the index up to date."""
