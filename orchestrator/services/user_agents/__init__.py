"""What users make for themselves: agents, saved configurations and their executions."""
