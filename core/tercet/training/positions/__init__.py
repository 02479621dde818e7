"""More positions for a backbone."""
