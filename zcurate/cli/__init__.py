"""The command line: commands, options, exit codes, progress bar, terminal output. No torch at import time."""
