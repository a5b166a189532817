"""The surface of the Multi-Agent Orchestrator (M): workflows by type, sessions, and a socket per session."""
