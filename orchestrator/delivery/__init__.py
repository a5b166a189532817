"""Webhook delivery: sign, post to a checked address, classify the answer."""
