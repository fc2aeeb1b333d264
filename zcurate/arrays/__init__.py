"""Array helpers: sorting, ranks, deterministic samples, cache-sized chunks. No torch."""
