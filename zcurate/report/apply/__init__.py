"""Apply decisions and verdicts to a copy of the input; the input itself is never written."""
