"""`orchestrator run`: one job over HTTP, from its start to its files."""
