"""Webhooks: subscriptions, deliveries and their attempts."""
