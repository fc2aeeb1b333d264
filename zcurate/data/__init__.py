"""From files, folders and addresses to a `Dataset`: sources, readers, schema inference, sampling. No torch."""
