"""The command line: what it prints, to which stream, and with which exit code."""
