"""Delimited text: encoding, quotes, layout, and rows that are no data."""
