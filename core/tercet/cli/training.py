"""`tercet train`: follow a recipe, and leave a model that every other command opens."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tercet.cli.console import say
from tercet.cli.options import Quiet


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a TOML file.")],
    *,
    out: Annotated[Path, typer.Option(help="The model's folder; must not be there yet.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model by RECIPE."""
    from tercet.training.recipe import read_recipe  # noqa: PLC0415  loads torch and transformers
    from tercet.training.running import Run  # noqa: PLC0415

    run = Run(read_recipe(recipe), out)
    if not quiet:
        logging.getLogger("tercet.training").addHandler(Said())
    try:
        today = datetime.now(tz=UTC).date().isoformat()
        run.start(resume=resume, show_progress=not quiet, date=today)
    except KeyboardInterrupt as stop:
        told = ", ".join(map(str, stop.args)) or "stopped"
        raise KeyboardInterrupt(
            f"{told}; go on with: tercet train {recipe} --out {out} --resume"
        ) from None
    say(f"the model is in {out}")


class Said(logging.Handler):
    """Prints what is logged as a line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        say(record.getMessage())
