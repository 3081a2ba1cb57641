"""What the commands' parsers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from latent.cli.completion import complete_flow
from latent.errors import WorkspaceError

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
            f"There is no workspace in {workspace.root} or above it: no config/latent.toml and no "
            "flows/ folder. Go to one, name one in LATENT_WORKSPACE, or make one with `latent init`."
        )
    return workspace
