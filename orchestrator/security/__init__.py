"""Secrets at rest, secrets in texts, and files of a data directory."""
