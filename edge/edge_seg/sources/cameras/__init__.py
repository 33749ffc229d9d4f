"""Films from cameras."""
