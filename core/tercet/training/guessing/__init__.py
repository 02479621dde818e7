"""Guessing hidden words and rebuilding texts."""
