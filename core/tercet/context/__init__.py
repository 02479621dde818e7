"""Contexts for language models: hits to a text that fits a token budget, with citations."""
