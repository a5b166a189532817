"""Jobs: start, read, follow, control, retry; and the rows of jobs beside their histories."""
