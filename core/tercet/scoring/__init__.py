"""Scores, each defined once: inner product, lexical match, late interaction, MMR."""
