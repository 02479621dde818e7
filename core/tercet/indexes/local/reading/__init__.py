"""Looking into an index: snapshots, filters as rows, search, documents."""
