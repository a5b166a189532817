"""The patterns in code, one file each."""
