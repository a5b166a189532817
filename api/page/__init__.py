"""The operators' page: jobs, what needs attention, and the actions that help, as HTML (decision 0040)."""
