"""How a command ends: one paragraph for the user, one exit code for scripts."""

from __future__ import annotations

import traceback as tracebacks
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from latent.cli.terminal import complain
from latent.errors import (
    ConfigError,
    DatasetConfigError,
    DatasetNotFoundError,
    FlowNotFoundError,
    LatentError,
    RunNotFoundError,
    TaskExecutionError,
    UsageError,
)

if TYPE_CHECKING:
    from latent.config import Workspace

DONE, FAILED, WRONG_USE, BUDGET_USED_UP, GATE_FAILED, GATE_INCONCLUSIVE = range(6)
INTERRUPTED, TERMINATED = 130, 143
"""As shells report them: 128 plus the number of SIGINT (Ctrl-C), and of SIGTERM."""

_WRONG_USE = (
    UsageError,
    ConfigError,
    FlowNotFoundError,
    DatasetNotFoundError,
    DatasetConfigError,
    RunNotFoundError,
)


def exit_code(error: BaseException) -> int:
    """2 when the user must ask differently, 1 when what was asked for failed."""
    # A task's failure is also an instance of its original error's class: a ConfigError that a task
    # raised is a failure all the same.
    if isinstance(error, TaskExecutionError):
        return FAILED
    return WRONG_USE if isinstance(error, _WRONG_USE) else FAILED


def gates_code(verdict: str, inconclusive: str | None = None) -> int:
    """
    The exit code of gates: 0, 4 or 5.

    Args:
        inconclusive: What inconclusive gates are taken for: `pass`, `fail`, or None, for what they are.
    """
    if verdict == "inconclusive":
        verdict = inconclusive or verdict
    return {"pass": DONE, "fail": GATE_FAILED, "inconclusive": GATE_INCONCLUSIVE}[verdict]


def report(error: BaseException, *, traceback: bool, workspace: Workspace | None = None) -> int:
    """
    Write the error to stderr, as one paragraph or with its traceback; returns the exit code.

    Args:
        workspace: Whose code raised it: its secrets are masked, and the line that raised is named.
    """
    if traceback:
        text = "".join(tracebacks.format_exception(error)).rstrip()
    else:
        text = str(error) if isinstance(error, LatentError) else f"{type(error).__name__}: {error}"
        if workspace is not None and (place := raised_at(error, workspace.root)):
            text = f"{text}\nRaised at {place}."
    if workspace is not None:
        from latent.config import masker_for

        text = masker_for(workspace).text(text)
    typer.echo(text, err=True) if traceback else complain(text)
    return exit_code(error)


def raised_at(error: BaseException, root: Path) -> str | None:
    """The line of the workspace's own code that raised, as `flows/x/flow.py:12 in f`; None when none did."""
    chain = [error]
    while (cause := _cause(chain[-1])) is not None and cause not in chain:
        chain.append(cause)
    for each in reversed(chain):
        for frame in reversed(tracebacks.extract_tb(each.__traceback__)):
            file = Path(frame.filename)
            if file.is_relative_to(root) and ".venv" not in file.parts:
                return f"{file.relative_to(root).as_posix()}:{frame.lineno} in {frame.name}"
    return None


def _cause(error: BaseException) -> BaseException | None:
    return error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
