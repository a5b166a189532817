"""Webhook delivery: sign a body, post it to a checked address, classify the response."""
