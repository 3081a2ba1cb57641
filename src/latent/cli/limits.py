"""`latent limits`: who holds and who waits, and what was learned from providers."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.options import new_app, workspace_here
from latent.cli.terminal import align, is_terminal, printable, say, show_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from latent.config import Workspace
    from latent.limits import Holder, LimitStatus

    Table = tuple[Sequence[str], Sequence[Sequence[object]]]

app = new_app()

REDRAW_SECONDS = 0.5
PIPED_SECONDS = 2.0


@app.command()
def limits(
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep showing, until interrupted with Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each limit.")] = False,
) -> None:
    """
    Show the limits: who holds and waits, what was learned.

    Limits are shared by everything of the user on this machine; those that only other workspaces define are
    shown while they are in use.
    """
    workspace = workspace_here()
    show = _show_json if as_json else _show_tables
    if not watch:
        show(workspace)
        return
    try:
        _watch(workspace, show, redraw=is_terminal(sys.stdout) and not as_json)
    except KeyboardInterrupt:
        say()


def _watch(workspace: Workspace, show: Callable[[Workspace], None], *, redraw: bool) -> None:
    from latent.cli.screen import Screen

    screen = Screen(sys.stdout)
    while True:
        if redraw:
            screen.draw(_lines(workspace))
        else:
            show(workspace)
        time.sleep(REDRAW_SECONDS if redraw else PIPED_SECONDS)


def _show_tables(workspace: Workspace) -> None:
    tables = _tables(workspace)
    if not tables:
        say("No limits: a table [limits.NAME] in the settings defines one.")
    for place, (headers, rows) in enumerate(tables):
        if place:
            say()
        show_table(headers, rows)


def _lines(workspace: Workspace) -> list[str]:
    lines = []
    for headers, rows in _tables(workspace):
        cells = [[printable("-" if cell is None else str(cell)) for cell in row] for row in rows]
        lines += [*align([[header.upper() for header in headers], *cells]), ""]
    return lines


def _tables(workspace: Workspace) -> list[Table]:
    """The limits, and below them who holds and waits; nothing when there are none."""
    from latent.limits import snapshot

    found = snapshot(workspace)
    if not found:
        return []
    headers = ["limit", "calls", "waiting", "requests/min", "set", "tokens/min", "429s (last minute)"]
    tables: list[Table] = [(headers, [_limit_cells(status) for status in found])]
    flows: dict[str, str] = {}
    holders = [
        row
        for status in found
        for holder in status.holders
        for row in _rows(workspace, status, holder, flows)
    ]
    if holders:
        tables.append((["held by", "flow", "run", "limit", "calls", "waiting"], holders))
    return tables


def _limit_cells(status: LimitStatus) -> tuple[object, ...]:
    settings = status.settings
    return (
        status.name,
        f"{status.in_use:,} of {status.slots:,}" if status.slots else f"{status.in_use:,}",
        f"{status.waiting:,}",
        _rate(status.requests_per_minute),
        _rate(settings.requests_per_minute if settings else None),
        _rate(status.tokens_per_minute),
        f"{status.refused_last_minute:,}",
    )


def _rate(per_minute: float | None) -> str | None:
    return None if per_minute is None else f"{per_minute:,.4g}" if per_minute < 100 else f"{per_minute:,.0f}"


def _rows(
    workspace: Workspace, status: LimitStatus, holder: Holder, flows: dict[str, str]
) -> Iterator[tuple[object, ...]]:
    for run_id, (in_use, waiting) in sorted(holder.runs.items()):
        flow = _flow(workspace, run_id, flows) if run_id else None
        yield f"process {holder.pid}", flow, run_id[:8] or None, status.name, f"{in_use:,}", f"{waiting:,}"


def _flow(workspace: Workspace, run_id: str, known: dict[str, str]) -> str | None:
    """The flow of a run; None when it is another workspace's."""
    from latent.errors import TrackingError
    from latent.tracking import load_run

    if run_id not in known:
        try:
            known[run_id] = load_run(workspace, run_id).flow_name
        except TrackingError:
            known[run_id] = ""
    return known[run_id] or None


def _show_json(workspace: Workspace) -> None:
    import json
    from dataclasses import asdict

    from latent.limits import snapshot

    for status in snapshot(workspace):
        settings = None if status.settings is None else status.settings.model_dump()
        holders = [asdict(holder) for holder in status.holders]
        facts = {name: getattr(status, name) for name in status.__dataclass_fields__}
        say(json.dumps(facts | {"settings": settings, "holders": holders}))
