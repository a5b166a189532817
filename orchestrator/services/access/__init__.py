"""Access: credentials, keys, users, permissions, limits, and the audit trail."""
