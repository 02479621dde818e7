"""`tercet train`: a recipe, heads for a dense model, or the mean of checkpoints."""

import json
import logging
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tercet.cli.console import say
from tercet.cli.options import Quiet

if TYPE_CHECKING:
    from tercet.training.recipes.recipe import Recipe

RECIPE = "recipe"
"""The command that is meant where none is named."""

HELP = ("-h", "--help")

Out = Annotated[Path, typer.Option(help="The model's folder; must not be there yet.")]

Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")]


class RecipeFirst(TyperGroup):
    """Takes what is no command's name for a recipe."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command before a recipe."""
        if args and args[0] not in (*self.commands, *HELP):
            args = [RECIPE, *args]
        return super().parse_args(ctx, args)


training = typer.Typer(
    cls=RecipeFirst,
    help="Train a model: tercet train RECIPE --out FOLDER.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@training.command(RECIPE)
def follow(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a TOML file.")],
    *,
    out: Out,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Train a model by RECIPE; the word "recipe" may be left out."""
    from tercet.training.recipes.recipe import read_recipe  # noqa: PLC0415  loads torch and transformers

    _run(read_recipe(recipe), out, again=str(recipe), resume=resume, quiet=quiet)


class Learning(StrEnum):
    """What learns."""

    HEADS = "heads"
    LORA = "lora"
    ALL = "all"


@training.command("heads")
def add_heads(
    *,
    backbone: Annotated[
        str, typer.Option(help="A dense model: tercet/mini, a hub id, or a folder.")
    ],
    texts: Annotated[
        list[Path],
        typer.Option(help="Texts without labels: lines, JSON lines or a collection; repeatable."),
    ],
    out: Out,
    train: Annotated[
        Learning, typer.Option(help="What learns; with heads alone the backbone is frozen.")
    ] = Learning.HEADS,
    dim: Annotated[int, typer.Option(help="Length of a token vector.")] = 128,
    steps: Annotated[
        int | None, typer.Option(help="Steps.", show_default="the stage's own")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Add lexical weights and token vectors to a dense model, taught by its own dense view."""
    from tercet.training.recipes.recipe import parse_recipe  # noqa: PLC0415  loads torch and transformers

    told = [
        f"seed = {seed}",
        "[model]",
        f"source = {_quoted(backbone)}",
        "[data]",
        f"texts = [{', '.join(_quoted(str(path.absolute())) for path in texts)}]",
        "[[stages]]",
        'kind = "heads"',
        f"train = {_quoted(train)}",
        f"multi_vector = {dim}",
        *([] if steps is None else ["[stages.optimisation]", f"steps = {steps}"]),
    ]
    recipe = parse_recipe("\n".join(told) + "\n", base=Path.cwd())
    _run(recipe, out, again="heads with the same options", resume=resume, quiet=quiet)


@training.command("average")
def average_checkpoints(
    checkpoints: Annotated[
        list[Path], typer.Argument(metavar="CHECKPOINTS", help="Models that were saved alike.")
    ],
    *,
    to: Annotated[Path, typer.Option(help="The folder to write.")],
) -> None:
    """Write the mean of CHECKPOINTS of one training, weight by weight."""
    from tercet.training.models.averaging import average  # noqa: PLC0415  loads torch

    average(checkpoints, to)
    say(f"the mean of {len(checkpoints)} checkpoints is in {to}")


def _run(recipe: "Recipe", out: Path, *, again: str, resume: bool, quiet: bool) -> None:
    """Follow a recipe, and say how to go on when it is stopped."""
    from tercet.training.recipes.running import Run  # noqa: PLC0415  loads torch and transformers

    run = Run(recipe, out)
    if not quiet:
        log = logging.getLogger("tercet.training")
        log.setLevel(logging.INFO)
        log.addHandler(Said())
    today = datetime.now(tz=UTC).date().isoformat()
    try:
        run.start(resume=resume, show_progress=not quiet, date=today)
    except KeyboardInterrupt as stop:
        told = ", ".join(map(str, stop.args)) or "stopped"
        raise KeyboardInterrupt(
            f"{told}; go on with: tercet train {again} --out {out} --resume"
        ) from None
    say(f"the model is in {out}")


def _quoted(text: str) -> str:
    """A string as TOML writes it."""
    return json.dumps(text, ensure_ascii=False)


class Said(logging.Handler):
    """Prints what is logged as a line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        say(record.getMessage())
