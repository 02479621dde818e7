"""The embedded index: a folder with a SQLite catalogue and immutable segments."""
