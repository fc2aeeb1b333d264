"""The shelf of commands: one command, one file; parse, call, print."""
