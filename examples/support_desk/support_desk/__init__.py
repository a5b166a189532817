"""A support desk: an agent with six tools."""
