"""Use cases. The only place where API verbs meet engine and storage."""
