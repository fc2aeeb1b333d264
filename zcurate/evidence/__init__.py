"""What was seen of each row: record types, held-out predictions, label-noise model, signals. No torch."""
