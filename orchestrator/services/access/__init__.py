"""Who may call and how much: credentials, keys, users, permissions, limits, and the audit trail."""
