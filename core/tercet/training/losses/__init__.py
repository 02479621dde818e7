"""Training losses: each a plain function on score matrices."""
