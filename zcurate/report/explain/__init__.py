"""Explain single rows: the facts behind a verdict, and the most similar rows."""
