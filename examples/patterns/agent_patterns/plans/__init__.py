"""The patterns as plans: data that the engine checks before a start."""
