"""The files of an index: the catalogue, segments, the writer's lock, marks of readers."""
