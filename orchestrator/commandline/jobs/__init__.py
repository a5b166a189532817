"""`orchestrator jobs`: list, watch and control jobs, by ids or by filters, over the HTTP API."""
