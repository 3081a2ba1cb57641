"""What the commands' parsers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from latent.cli.completion import complete_flow
from latent.errors import UsageError, WorkspaceError

if TYPE_CHECKING:
    from latent.config import Workspace


def new_app(*, add_completion: bool = False, **options: Any) -> typer.Typer:
    """A Typer app with the choices that all commands share."""
    # Rich help would triple the time of `latent --help`; for errors see `exits`.
    settings = {"help_option_names": ["-h", "--help"]}
    return typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=add_completion,
        context_settings=settings,
        **options,
    )


FlowArgument = Annotated[
    str | None, typer.Argument(metavar="FLOW", help="Name of a flow.", autocompletion=complete_flow)
]
FlowFilter = Annotated[
    str | None,
    typer.Option("--flow", metavar="FLOW", help="Only those of this flow.", autocompletion=complete_flow),
]


ParameterOption = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--param",
        metavar="KEY=VALUE",
        help="A parameter for this run, its value read as YAML; `a.b=1` sets a nested one. Repeatable.",
    ),
]
InconclusiveOption = Annotated[
    Literal["pass", "fail"] | None,
    typer.Option(
        "--inconclusive", help="End as if inconclusive gates had passed, or failed, and not with 5."
    ),
]
ConcurrencyOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        envvar="LATENT_WORKER_CONCURRENCY",
        help="Runs at the same time; else all due ones.",
    ),
]
DrainOption = Annotated[
    str,
    typer.Option(
        metavar="DURATION", envvar="LATENT_WORKER_DRAIN", help="The time to end in, such as 30s or 5m."
    ),
]
HealthOption = Annotated[
    int | None,
    typer.Option(
        metavar="PORT", envvar="LATENT_WORKER_HEALTH", help="Answer on /health while it asks for runs."
    ),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def drain_seconds(text: str) -> float:
    """
    What `--drain` says, in seconds.

    Raises:
        UsageError: It is no duration.
    """
    from latent.config.durations import parse_duration

    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise UsageError(f"--drain {text!r}: {error}.") from error


def workspace_here() -> Workspace:
    """
    The workspace that the current folder lies in.

    Raises:
        WorkspaceError: There is none.
    """
    from latent.config import find_workspace

    workspace = find_workspace()
    if not workspace.found:
        raise WorkspaceError(
            f"There is no workspace in {workspace.root} or above it: no config/latent.toml, no flows/ folder "
            "and no .latent/runs. Go to one, name one in LATENT_WORKSPACE, or make one with `latent init`."
        )
    return workspace
