"""The implementation of the `orchestrator` commands; `orchestrator.cli` declares their names and options."""
