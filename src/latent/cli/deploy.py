"""`latent deploy`: the deployments of the settings, put on the server."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.options import complete_deployment, new_app, workspace_here
from latent.cli.terminal import align, colour, printable, say
from latent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latent.config import Masker
    from latent.services import FieldChange, Plan, PlannedDeployment

app = new_app()

MARKS = {
    "new": ("+", "green"),
    "changed": ("~", "yellow"),
    "unchanged": ("=", "bright_black"),
    "gone": ("-", "red"),
}
SHOWN_WHEN_NEW = ("schedule", "work pool", "budget")
"""What is shown of a new deployment, beside its parameters; the rest stands in the settings."""


@app.command()
def deploy(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Only the deployment of this name.", autocompletion=complete_deployment
        ),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would change.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove from the server what the settings have no more.")
    ] = False,
) -> None:
    """
    Put the [[deployments]] of the settings on the server.

    What stands there as it should is left alone, and a paused deployment stays paused.
    """
    from latent.config import masker_for
    from latent.flows import READY
    from latent.services import carry_out, install_notification, plan_deployments, server_client

    workspace = workspace_here()
    now = datetime.now(UTC)
    with server_client(workspace, needed_for="`latent deploy`") as client:
        found = plan_deployments(client, workspace, name, READY, now)
        if not found.deployments:
            raise UsageError(
                "There is nothing to deploy: a table [[deployments]] in latent.toml names a flow and its "
                "schedule. The commented lines at its end show one, and docs/deploying.md explains it."
            )
        for line in _lines(found, masker_for(workspace), now, prune=prune):
            say(line)
        if not plan:
            carry_out(client, workspace, found, prune=prune)
            say(_summary(found, prune=prune))
            if found.behind:
                say(
                    f"{printable(', '.join(found.behind))} still has other code, which workers refuse: "
                    "`latent deploy` updates all."
                )
            if install_notification(client, workspace):
                has_webhook = workspace.settings.services.notify_webhook is not None
                say(f"Runs that fail are {'told to' if has_webhook else 'no longer told to'} notify_webhook.")


def _lines(plan: Plan, masker: Masker, now: datetime, *, prune: bool) -> Iterator[str]:
    for planned in plan.deployments:
        mark, shade = MARKS[planned.outcome]
        name = printable(f"{planned.flow_name}/{planned.name}")
        yield f"{colour(f'{mark} {name}', shade)}  {_state(planned, prune=prune)}"
        yield from (f"    {line}" for line in _details(planned, masker, now, prune=prune))
    for pool in plan.pools:
        yield f"{colour(f'+ work pool {printable(pool)}', 'green')}  new"
    for change in plan.limits:
        mark, shade = MARKS["new" if change.before is None else "changed"]
        numbers = [each for each in (change.before, change.wanted.numbers) if each is not None]
        yield f"{colour(f'{mark} limit {printable(change.wanted.name)}', shade)}  {' -> '.join(numbers)}"


def _state(planned: PlannedDeployment, *, prune: bool) -> str:
    if planned.outcome == "gone":
        return "removed" if prune else "is in the settings no more: `latent deploy --prune` removes it"
    paused = ", stays paused: `latent deployments resume` ends that" if planned.is_paused else ""
    return f"{planned.outcome}{paused}"


def _details(planned: PlannedDeployment, masker: Masker, now: datetime, *, prune: bool) -> Iterator[str]:
    from latent.services import clock_remarks, next_times

    if planned.definition is None:
        return
    is_new = planned.outcome == "new"
    shown = [
        change
        for change in planned.changes
        if not is_new or change.field in SHOWN_WHEN_NEW or change.field.startswith("parameters.")
    ]
    rows = [[change.field, _change(masker, change)] for change in shown if change.before != change.after]
    yield from align(rows) if rows else ()
    if planned.other_schedules:
        what = "is removed" if prune else "stays: `latent deploy --prune` removes it"
        yield f"A schedule that was added on the server {what}"
    settings = planned.definition.settings
    if times := next_times(settings, now):
        yield f"next: {', '.join(f'{time:%a %Y-%m-%d %H:%M %Z}' for time in times)}"
    yield from clock_remarks(settings, now)


def _change(masker: Masker, change: FieldChange) -> str:
    if isinstance(change.after, dict) and not change.field.startswith("parameters."):
        return "changed"  # too long to be read here
    name = change.field.rpartition(".")[2]
    shown = [
        "none" if value is None else printable(str(masker.data({name: value})[name]))
        for value in (change.before, change.after)
    ]
    return shown[1] if change.before is None else " -> ".join(shown)


def _summary(plan: Plan, *, prune: bool) -> str:
    counts = Counter("removed" if each.outcome == "gone" else each.outcome for each in plan.deployments)
    words = ("new", "changed", "unchanged", *(("removed",) if prune else ()))
    said = [f"{counts[word]} {word}" for word in words if counts[word]]
    return f"Deployed: {', '.join(said) or 'nothing'}. `latent worker` or `latent serve` runs them."
