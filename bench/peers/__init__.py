"""Other durable engines with the same jobs by hand, for `make bench-peers`."""
