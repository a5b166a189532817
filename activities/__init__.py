"""Temporal activities: they translate between Temporal and the runtime, and decide nothing."""
