"""The command line: commands, exit codes, progress bar, terminal rendering. No torch."""
