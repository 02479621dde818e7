"""Where documents come from: files, folders and lines of JSON."""
