"""Users' agents: the agents, their saved configurations and their executions."""
