"""The output of commands: the console, safe text, progress, exit codes."""
