"""Evidence about each row: record types, held-out predictions, label-noise model, signals. Imports no torch."""
