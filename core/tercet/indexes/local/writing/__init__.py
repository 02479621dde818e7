"""Changing an index: commits, compaction, codebooks, and what a build is worth."""
