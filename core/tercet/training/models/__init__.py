"""The model that is trained: opened, saved, averaged."""
