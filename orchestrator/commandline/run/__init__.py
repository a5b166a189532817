"""`orchestrator run`: start a job over HTTP, follow it, and write its files."""
