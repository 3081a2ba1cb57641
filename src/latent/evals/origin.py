"""Where an evaluation comes from: the command that made it, the versions that it ran with, and its trace."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

from latent.errors import LatentError

if TYPE_CHECKING:
    from latent.evals.evaluation import Evaluation

COMMANDS = ("run", "eval", "score")
"""Of `latent`: those that take `--only-failed` or `--refresh`, and may be run again."""

MOST_IDS = 20
"""A command names so many rows; of more, it runs the task again for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the run's records say; empty where they are gone."""

    command: Sequence[str] = ()
    """The words of the command line; its first is the program's name without its folder."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the libraries that results can depend on, and of Python."""
    commit: str | None = None
    """Of the workspace, with its branch; None outside a repository."""
    trace_url: str | None = None
    """Where MLflow shows the trace; None before it was told of the run."""

    @property
    def command_line(self) -> str | None:
        """As it is typed; None where it is not known."""
        if not self.command:
            return None
        return shlex.join(["python", *self.command] if self.command[0].endswith(".py") else self.command)

    def again(self, outcome: str, task: str, ids: Sequence[str]) -> str | None:
        """
        The command that runs rows again which have no result; None where it is not known.

        Failed and skipped rows are not remembered: the same command asks for them again, and for nothing
        else. Rows that abstained are remembered, and have to be named.
        """
        line = self.command_line
        if line is None or outcome == "skipped" or not self._is_ours:
            return line
        if outcome == "failed":
            return line if self.command[1] == "score" else f"{line} --only-failed"
        chosen = f"{task}:id in {list(ids)!r}" if len(ids) <= MOST_IDS else task
        return f"{line} --refresh {shlex.quote(chosen)}"

    @property
    def _is_ours(self) -> bool:
        return len(self.command) > 1 and self.command[0] == "latent" and self.command[1] in COMMANDS


def origin_of(evaluation: Evaluation) -> Origin:
    """What the records of an evaluation's run say, as far as they are there."""
    from latent.config import find_workspace
    from latent.tracking import load_run

    with suppress(LatentError, OSError, ValueError):
        run = load_run(find_workspace(), evaluation.run_id)
        known = run.record.get("provenance") or {}
        git = known.get("git") or {}
        commit = f"{git['commit'][:12]} ({git.get('branch')})" if git.get("commit") else None
        return Origin(
            command=_words(run.record.get("command") or ()),
            versions={"python": known.get("python", ""), **known.get("packages", {})} if known else {},
            commit=commit,
            trace_url=run.trace_url,
        )
    return Origin()


def _words(command: Sequence[str]) -> list[str]:
    """A command without the folder of its program, which is of one machine."""
    if not command:
        return []
    program = PurePath(command[0])
    name = program.name.removesuffix(".exe") if os.name == "nt" else program.name
    return ["latent" if name == "__main__.py" else name, *command[1:]]
