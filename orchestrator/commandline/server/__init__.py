"""Shared by the long-lived processes: the HTTP server, ports, signals, tasks, and restarts of their parts."""
