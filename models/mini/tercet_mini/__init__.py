"""The weights of `tercet/mini`: no code, only where they are."""

from pathlib import Path

PATH: Path = Path(__file__).resolve().parent
"""The folder that holds the model's files."""
