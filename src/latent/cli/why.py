"""`latent why`: whether results were reused, and what kept them from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.completion import complete_flow
from latent.cli.options import new_app, workspace_here
from latent.cli.terminal import printable, say, show_table
from latent.cli.wording import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latent.config import Workspace
    from latent.tracking.why import Explanation
app = new_app()


@app.command()
def why(
    flow: Annotated[
        str, typer.Argument(metavar="FLOW", help="Name of a flow.", autocompletion=complete_flow)
    ],
    task: Annotated[str, typer.Argument(metavar="TASK", help="Name of one of its tasks.")],
    row: Annotated[str | None, typer.Argument(metavar="[ROW]", help="A row, by its id or its index.")] = None,
) -> None:
    """
    Say why the last run of a flow reused results or not.

    What is named has changed since they were remembered: an argument, a dataset, a parameter, the code of a
    function in a file, or their time was over.
    """
    from latent.cli.summary import show_facts
    from latent.tracking.why import why as explain

    workspace = workspace_here()
    found = explain(workspace, flow, task, row)
    show_facts(_facts(workspace, found))
    if len(found.answers) > 1 and (reasons := found.reasons()):
        say()
        rows = [(f"{count:,}", reason, first.name) for reason, count, first in reasons]
        show_table(["not reused", "because of", "first"], rows)


def _facts(workspace: Workspace, found: Explanation) -> Iterator[tuple[str, str]]:
    yield "Task", printable(found.task)
    yield "Run", f"{workspace.label(found.run.folder.path)} ({moment(found.run.started_at)})"
    if found.earlier is not None:
        place = workspace.label(found.earlier.folder.path)
        yield "Compared with", f"{place} ({moment(found.earlier.started_at)})"
    if len(found.answers) > 1:
        yield "Reused", f"{found.reused:,} of {len(found.answers):,}"
        return
    (answer,) = found.answers
    yield "Result", printable(f"{answer.result.name}, {answer.result.outcome}")
    if answer.is_reused:
        when = "" if answer.computed_at is None else f", computed {moment(answer.computed_at)}"
        yield "Reused", f"yes{when}"
    else:
        yield "Reused", "no"
        yield "Because of", printable(answer.reason or "")
    if answer.result.key is not None:
        yield "Key", answer.result.key
