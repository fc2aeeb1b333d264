"""From evidence to calibrated probabilities and verdicts. No torch."""
