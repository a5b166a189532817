"""What the processes that stay have in common: the HTTP server, ports, signals, tasks, and restarts of their parts."""
