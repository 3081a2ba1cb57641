"""`latent cache`: what is remembered."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from latent.cli.options import new_app, workspace_here
from latent.cli.terminal import is_terminal, say, show_table
from latent.cli.wording import several, size
from latent.errors import UsageError
from latent.errors.text import did_you_mean

app = new_app(no_args_is_help=True)


@app.callback()
def cache() -> None:
    """Look at what is remembered, and clear it."""


@app.command("stats")
def stats() -> None:
    """Show how many results are remembered, by task, and the space they take."""
    from latent.cache import open_memory

    workspace = workspace_here()
    held = open_memory(workspace).stats()
    if not held.entries:
        say(f"Nothing is remembered in {held.place} yet.")
        return
    rows = [
        (task.task, task.kind, f"{task.entries:,}", f"{task.expired:,}", size(task.size_bytes))
        for task in held.tasks
    ]
    show_table(["task", "kind", "results", "expired", "size"], rows)
    say(f"{several(held.entries, 'result')} in {held.place}, {size(held.disk_bytes)} on disk.")


@app.command("clear")
def clear(
    task: Annotated[
        str | None, typer.Option("--task", metavar="NAME", help="Only results of this task.")
    ] = None,
    expired: Annotated[bool, typer.Option("--expired", help="Only what has expired.")] = False,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Only checkpoints.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before forgetting everything.")
    ] = False,
) -> None:
    """
    Forget results: all of them, or those that every option given selects.

    They are computed, and paid for, again when they are next needed.
    """
    from latent.cache import open_memory

    memory = open_memory(workspace_here())
    if task is not None:
        _check_name(task, {held.task for held in memory.stats().tasks})
    selects_all = not (task or expired or checkpoints)
    if selects_all and not yes and (entries := memory.stats().entries):
        _confirm(several(entries, "remembered result"))
    count = memory.clear(task=task, expired=expired, kind="checkpoint" if checkpoints else None)
    say(f"{several(count, 'result')} forgotten.")


def _confirm(remembered: str) -> None:
    """Ask before everything is forgotten; where nobody can answer, nothing is."""
    if not is_terminal(sys.stdin):
        raise UsageError(
            f"This would forget all {remembered}, which would be paid for again, and there is no terminal to "
            "ask on. Say --yes if that is meant, or select results: --task NAME, --expired, --checkpoints."
        )
    typer.confirm(f"Forget all {remembered}?", abort=True)


def _check_name(task: str, known: set[str]) -> None:
    if task not in known:
        raise UsageError(
            f"Nothing is remembered of a task {task!r}: "
            + did_you_mean(task, known, "`latent cache stats` shows what is remembered.")
        )
