"""From a `Dataset` to tensors."""
