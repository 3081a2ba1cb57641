"""
The `latent` command: which commands there are, and how each ends.

A command's module is imported when that command is used, and a heavy library when the command needs it,
so that `latent --help` costs little more than the parser itself.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from latent import __version__
from latent.cli.exits import INTERRUPTED, report
from latent.cli.options import new_app
from latent.cli.terminal import say
from latent.errors import LatentError

COMMANDS = {
    "init": "Make a workspace that runs at once.",
    "new": "Add a flow to the workspace.",
    "ls": "List the flows of the workspace.",
    "run": "Run a flow.",
    "eval": "Evaluate a model, or answers that are there.",
    "score": "Score the answers of a run again.",
    "report": "Write the page of a run's evaluation, and open it.",
    "compare": "Compare the evaluations of runs, row by row.",
    "gate": "Check a run's evaluation against its gates.",
    "graph": "Show the flows' tasks, and how data runs between them.",
    "catalog": "Look at the datasets.",
    "cache": "Look at what is remembered, and clear it.",
    "runs": "Look at past runs.",
    "why": "Say why the last run of a flow reused results or not.",
    "serve": "Deploy [[deployments]], and run them when they are due.",
    "worker": "Run what is due in a work pool, until it is stopped.",
    "up": "Start Prefect's and MLflow's servers.",
    "down": "Stop the servers that `latent up` started.",
    "status": "Show where the servers are, and what decides that.",
    "sync": "Send what servers that were away do not know yet.",
    "ui": "Print where the servers' pages and the last report are.",
    "deploy": "Put the [[deployments]] of the settings on the server.",
    "deployments": "Look at the deployments, and start or pause them.",
    "doctor": "Look for what is wrong here, and say what to do.",
    "limits": "Show the limits: who holds and waits, what was learned.",
    "simulate-provider": "Answer like OpenAI and Anthropic, for tests.",
}
"""The commands, with their lines in `latent --help`, in the order shown; a command's module has its name."""

MODULES = {
    "new": "init",
    "score": "eval",
    "graph": "ls",
    "serve": "worker",
    "up": "servers",
    "down": "servers",
    "status": "servers",
    "ui": "servers",
}
"""The modules of commands that share one with others."""


class LazyGroup(TyperGroup):
    """The top command: lists stand-ins, loads the one that is used, and turns errors into exit codes."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except LatentError as error:
            raise SystemExit(report(error, traceback=ctx.params["debug"])) from error
        except (KeyboardInterrupt, typer.Abort) as stop:
            typer.echo("\nInterrupted.", err=True)
            raise SystemExit(INTERRUPTED) from stop


def load_command(name: str) -> Any:
    """The parser's command `name`, from its module."""
    module = import_module(f"latent.cli.{MODULES.get(name, name).replace('-', '_')}")
    command: Any = typer.main.get_command(module.app)
    if name in MODULES or name in MODULES.values():
        command = command.commands[name]
    command.name = name
    return command


def _stand_in() -> None:
    """Never called: `LazyGroup` puts the real command in its place."""


app = new_app(cls=LazyGroup, no_args_is_help=True, add_completion=True)
for _name, _help in COMMANDS.items():
    app.command(_name, help=_help)(_stand_in)


@app.command("version")
def show_version() -> None:
    """Show the version."""
    say(f"latent {__version__}")


def _version_option(wanted: bool) -> None:
    if wanted:
        show_version()
        raise typer.Exit


@app.callback()
def latent(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version_option, is_eager=True, help="Show the version and exit."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="LATENT_DEBUG", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Evaluation workflows and AI pipelines: paid work is never lost or redone."""


def main() -> None:
    """Run the command that the process was started with, and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal or pipe that cannot show a character gets a question mark, not a crash after the work.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")
    typer.main.get_command(app)()
