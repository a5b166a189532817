"""`orchestrator doctor`: probes of this machine and its servers, and checks of the results."""
