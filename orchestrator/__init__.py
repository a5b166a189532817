"""A durable engine for multi-agent work, on Temporal."""

__version__ = "0.1.0"
