"""Carries token deltas from workers to readers: in process, or over Redis (A7)."""
