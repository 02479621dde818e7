"""The index as a whole: its folder, checks, backups, numbers."""
