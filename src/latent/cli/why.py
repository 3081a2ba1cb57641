"""`latent why`: whether results were reused, and what kept them from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.options import complete_flow, new_app, workspace_here
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
    task: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="Name of one of its tasks; all when omitted.")
    ] = None,
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
    if task is None:
        _show_all(workspace, flow)
        return
    found = explain(workspace, flow, task, row)
    show_facts(_facts(workspace, found))
    if len(found.answers) > 1 and (reasons := found.reasons()):
        say()
        rows = [(f"{count:,}", reason, first.name) for reason, count, first in reasons]
        show_table(["not reused", "because of", "first"], rows)


def _show_all(workspace: Workspace, flow: str) -> None:
    """A line for each task of the last run, and one more for each further reason."""
    from latent.cli.summary import show_facts
    from latent.tracking.why import called_tasks
    from latent.tracking.why import why as explain

    found = [explain(workspace, flow, task) for task in called_tasks(workspace, flow)]
    rows: list[tuple[str | None, ...]] = []
    for each in found:
        reused = f"{each.reused:,} of {len(each.answers):,}"
        reasons = [(f"{count:,}", reason) for reason, count, _ in each.reasons()]
        rows.append((each.task, reused, *(reasons[0] if reasons else (None, None))))
        rows.extend((None, None, *reason) for reason in reasons[1:])
    if found:
        show_facts([_run_fact(workspace, found[0])])
        say()
        show_table(["task", "reused", "not reused", "because of"], rows)
    else:
        say(f"The last run of flow {flow!r} called no task.")


def _run_fact(workspace: Workspace, found: Explanation) -> tuple[str, str]:
    return "Run", f"{workspace.label(found.run.folder.path)} ({moment(found.run.started_at)})"


def _facts(workspace: Workspace, found: Explanation) -> Iterator[tuple[str, str]]:
    yield "Task", printable(found.task)
    yield _run_fact(workspace, found)
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
