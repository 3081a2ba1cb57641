"""What the commands' parsers share."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from latent.errors import WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Callable

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


def complete_flow(incomplete: str) -> list[str]:
    """
    What the shell offers on Tab: flow folders, and flows that need none, that begin with what is typed.

    It runs at every key press: it looks at folder names, imports no flow and never fails.
    """
    from latent.config import find_workspace
    from latent.errors import LatentError
    from latent.flows import READY

    try:
        folders = find_workspace().flow_folders()
    except (LatentError, OSError):
        return []  # a message here would land in the middle of the user's command line
    return [name for name in dict.fromkeys((*folders, *READY)) if name.startswith(incomplete)]


def complete_deployment(incomplete: str) -> list[str]:
    """The deployments of the settings that begin with what is typed so far."""
    from latent.config import find_workspace
    from latent.errors import LatentError

    try:
        deployments = find_workspace().settings.deployments
    except (LatentError, OSError):
        return []
    return [each.name for each in deployments if each.name.startswith(incomplete)]


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
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def takes(group: type[Any], *names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """
    Let a command take options as one value: the parameter annotated with `group`, a dataclass of options.

    The command line then has an option for each of its fields, in its place and order.

    Args:
        names: The fields that this command has; all where none is named. The others keep their defaults.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        fields = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in inspect.signature(group, eval_str=True).parameters.items()
            if name in names or not names
        ]
        place = next(name for name, each in signature.parameters.items() if each.annotation is group)

        @wraps(command)
        def with_options(**given: Any) -> None:
            grouped = group(**{field.name: given.pop(field.name) for field in fields})
            command(**given, **{place: grouped})

        parameters = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in signature.parameters.values()
            for each in (fields if parameter.name == place else [parameter])
        ]
        with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # read by inspect
        with_options.__annotations__ = {each.name: each.annotation for each in parameters}
        return with_options

    return decorate


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
