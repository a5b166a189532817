"""The surface of the Multi-Agent Orchestrator (M): workflows by type, sessions, one socket per session."""
