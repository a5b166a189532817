"""Schedules: creates and changes them, and checks each of their runs."""
