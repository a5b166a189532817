"""The secret key: which installation an index belongs to, and the change to a new key."""
