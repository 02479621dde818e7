"""Model families and checkpoint layouts, as data."""
