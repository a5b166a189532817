"""The commands of `orchestrator schedules`."""
