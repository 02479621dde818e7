"""Recipes: TOML files, and what follows them."""
