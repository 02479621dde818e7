"""Token vectors of several widths, trained together."""
