"""Commands that work on the job index directly; no API has to run."""
