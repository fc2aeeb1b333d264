"""Members that learn with a robust loss, and the record of what each row did meanwhile."""
