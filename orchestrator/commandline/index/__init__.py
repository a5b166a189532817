"""Commands that work on the job index itself, with or without a running API."""
