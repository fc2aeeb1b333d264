"""What a user can set: options, model configuration, units. No torch."""
