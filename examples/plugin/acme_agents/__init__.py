"""Agents and workflows of Acme's release team."""
