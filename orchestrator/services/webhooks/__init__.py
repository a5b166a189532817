"""Webhooks: who is to be notified, what of, and the attempts of each delivery."""
