"""From evidence to calibrated probabilities and verdicts. Imports no torch."""
