"""History to status: facts, the fold and the event log. Pure."""
