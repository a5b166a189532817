"""The way of token deltas from a worker to readers: in process, or over Redis (A7)."""
