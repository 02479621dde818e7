"""Measuring retrieval: collections in BEIR's layout, TREC measures, comparing plans."""
