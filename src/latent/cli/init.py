"""`latent init` and `latent new`: a workspace from a template, and more flows in it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.options import new_app, workspace_here
from latent.cli.terminal import is_terminal, say
from latent.errors import WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Mapping

app = new_app()
additions = new_app(no_args_is_help=True)
app.add_typer(additions, name="new")


def _complete_template(incomplete: str) -> list[str]:
    from latent.cli.scaffold import template_names

    return [name for name in template_names() if name.startswith(incomplete)]


@app.command()
def init(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Where to make it; created when missing.", show_default=False),
    ] = Path(),
    template: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=_complete_template,
            help="What to start from: default (a pipeline over a table), minimal (settings and one small "
            "flow), evaluation (a system scored over rows).",
        ),
    ] = "default",
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that stand in the way.")] = False,
) -> None:
    """
    Make a workspace that runs at once.

    Files that exist are never overwritten without asking.
    """
    from latent.cli.scaffold import workspace_files
    from latent.config import Workspace

    root = folder.absolute()
    files = workspace_files(template)
    settings_file = Workspace(root).settings_file
    if settings_file is not None and not (force and settings_file == root / "config/latent.toml"):
        # Settings may stand in one of several places, but not in two of them.
        say(f"Kept {Workspace(root).label(settings_file)} as it was.")
        del files["config/latent.toml"]
    _add_files(root, files, command="latent init", force=force)
    say(f"The workspace stands in {root}. Next:")
    if root.resolve() != Path.cwd().resolve():
        say(f"  cd {shlex.quote(str(folder))}")
    for flow in (path.split("/")[1] for path in files if path.endswith("/flow.py")):
        say(f"  latent run {flow}")


@additions.callback()
def new() -> None:
    """Add a flow to the workspace."""


@additions.command("flow")
def new_flow(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name; a Python identifier.")],
    ready: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="READY", help="Copy a ready flow, to be changed: batch_evaluation, ..."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that stand in the way.")] = False,
) -> None:
    """Add flows/NAME with a flow, its parameters and its catalog."""
    from latent.cli.scaffold import flow_files, ready_flow_files

    root = workspace_here().root
    files = flow_files(name) if ready is None else ready_flow_files(name, ready)
    command = f"latent new flow {name}" + (f" --from {ready}" if ready else "")
    _add_files(root, files, command=command, force=force)
    say(f"The flow stands in {root / 'flows' / name}. Next:")
    say(f"  latent run {name}")


def _add_files(root: Path, files: Mapping[str, bytes], *, command: str, force: bool) -> None:
    """
    Write the files, having asked about each that exists with another content.

    Raises:
        WorkspaceError: Files are in the way and nobody is there to be asked; nothing was written.
    """
    from latent.cli.scaffold import conflicts, write_files

    in_the_way = conflicts(root, files)
    kept = [] if force else _ask(root, in_the_way, command)
    write_files(root, {path: content for path, content in files.items() if path not in kept})
    for path in kept:
        say(f"Kept {path} as it was.")


def _ask(root: Path, in_the_way: list[str], command: str) -> list[str]:
    """Those of the existing files that the user wants to keep."""
    if not in_the_way:
        return []
    if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        raise WorkspaceError(
            f"Nothing was written: {root} already has {', '.join(in_the_way)}. Move them, name another "
            f"folder, or let `{command}` overwrite them with --force."
        )
    return [path for path in in_the_way if not typer.confirm(f"{path} exists. Overwrite it?", default=False)]
