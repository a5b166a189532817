"""Pure domain: what a job, a plan, an agent and an event are. Standard library and pydantic only."""
