"""`latent doctor`: whether everything that flows need is as it should be."""

from __future__ import annotations

from typing import Annotated

import typer

from latent.cli.exits import FAILED
from latent.cli.options import new_app, workspace_here
from latent.cli.terminal import colour, say, show_table

app = new_app()

_SHADES = {"ok": "green", "warning": "yellow", "problem": "red"}


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each finding.")] = False,
) -> None:
    """
    Look for what is wrong here, and say what to do.

    It looks at Python, the libraries' versions, settings, folders, stores, secrets in files that git tracks,
    and the servers. Nothing is changed. It ends with 1 when there is a problem.
    """
    from latent.services import examine

    findings = examine(workspace_here())
    if as_json:
        import json
        from dataclasses import asdict

        for finding in findings:
            say(json.dumps(asdict(finding)))
    else:
        rows = [(each.verdict, each.topic, each.found, each.advice or None) for each in findings]
        show_table(["", "what", "found", "do"], rows)
        problems = sum(each.verdict == "problem" for each in findings)
        say(
            colour(
                f"{problems or 'no'} problem{'' if problems == 1 else 's'}",
                _SHADES["problem" if problems else "ok"],
            )
        )
    if any(each.verdict == "problem" for each in findings):
        raise typer.Exit(FAILED)
