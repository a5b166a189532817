"""Chat: conversations, each turn of which is a job."""
