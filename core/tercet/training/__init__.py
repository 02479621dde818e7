"""Trains encoders by the recipes of the published papers."""
