"""Indexes: documents with their views, and exact or approximate rankings of them."""
