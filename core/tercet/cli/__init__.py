"""The command `tercet`."""

from tercet.cli.app import main

__all__ = ["main"]
