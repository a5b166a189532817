"""The secret key: the installation that an index belongs to, and the rotation of the key."""
