"""The report: type, storage, building, output formats, explanations."""
