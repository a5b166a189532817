"""The native surface: Devora `/v1`."""
