"""What people see of a command: its output, what is safe to print, progress, exit codes."""
