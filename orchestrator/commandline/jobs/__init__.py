"""`orchestrator jobs`: how operators list, watch and control jobs, by their ids or by a filter, over the HTTP API."""
