"""Seven patterns of agent work, each as a workflow in code."""
