"""The command `tercet`: its subcommands, and how it ends.

    0    all went well                        2      the command line is wrong
    1    an error, said in a line on stderr   130    Ctrl-C
                                              141    the reader of a pipe has gone

With TERCET_DEBUG set, an error shows where it came from.
"""

import io
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tercet import __version__
from tercet.cli.checking import check
from tercet.cli.console import say, warnings_as_lines
from tercet.cli.copying import copy
from tercet.cli.describing import describe, list_models
from tercet.cli.evaluating import evaluate_plans
from tercet.cli.exporting import export
from tercet.cli.indexing import delete, index
from tercet.cli.searching import search
from tercet.cli.training import training
from tercet.errors import TercetError

FAILED = 1
INTERRUPTED = 130
PIPE_CLOSED = 141
"""128 and the number of the signal, as shells have it."""


class Commands(TyperGroup):
    """Runs a subcommand and turns what goes wrong into a line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand.

        Raises:
            typer.Exit: It failed.
        """
        try:
            with warnings_as_lines():
                result = super().invoke(ctx)
            if sys.stdout is not None:  # a shell may close it: `>&-`
                sys.stdout.flush()  # a closed pipe shows here, not when the interpreter goes down
        except KeyboardInterrupt as stop:
            say(": ".join(["interrupted", *map(str, stop.args)]))
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            _close_stdout()
            raise typer.Exit(PIPE_CLOSED) from None
        except typer.BadParameter as wrong:
            wrong.message = wrong.message.removeprefix("Value error, ")  # pydantic's, not ours
            raise
        except (TercetError, ValueError, OSError) as error:
            if os.environ.get("TERCET_DEBUG"):
                raise
            say(f"error: {_described(error)}")
            raise typer.Exit(FAILED) from None
        return result


app = typer.Typer(
    cls=Commands,
    help="Dense, sparse and multi-vector retrieval from one encoder pass, in one index.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: it is read in pipes too
    pretty_exceptions_enable=False,
    add_completion=False,
)

COMMANDS: dict[str, Callable[..., None]] = {
    "index": index,
    "search": search,
    "info": describe,
    "evaluate": evaluate_plans,
    "models": list_models,
    "delete": delete,
    "check": check,
    "copy": copy,
    "export": export,
}

for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(training, name="train")


def _print_version(asked: bool) -> None:  # noqa: FBT001  typer calls it
    if asked:
        typer.echo(f"tercet {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Dense, sparse and multi-vector retrieval from one encoder pass, in one index."""


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # no locale stops a result
    app(prog_name="tercet")


def _described(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    return str(error) or type(error).__name__


def _close_stdout() -> None:
    """Let the interpreter's last flush go nowhere."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except io.UnsupportedOperation:  # a stream in memory has no pipe
        return
