"""The views of a segment's documents, a column each: how they are written, searched and scored."""
