"""Stages of a recipe: each a record of settings that runs."""
