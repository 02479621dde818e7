"""Texts to vectors: reading checkpoints, tokenizing, the forward pass and its heads."""
