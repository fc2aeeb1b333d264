"""Print results on a terminal or as plain text."""
