"""Runs one agent call: prompt, model, validated output, usage."""
