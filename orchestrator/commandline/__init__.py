"""What the commands of `orchestrator` do; `orchestrator.cli` names them and their options."""
