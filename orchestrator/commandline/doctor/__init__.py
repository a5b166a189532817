"""`orchestrator doctor`: what it asks, and what it makes of the answers."""
