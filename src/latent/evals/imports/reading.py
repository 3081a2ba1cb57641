"""`import_evaluation`: another tool's results as an `Evaluation`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from latent.config import find_workspace
from latent.errors import ImportedResultsError, UsageError
from latent.errors.text import did_you_mean
from latent.evals.evaluating import in_a_run
from latent.evals.imports.inspect_log import read_inspect
from latent.evals.imports.lm_eval import read_lm_eval
from latent.evals.imports.promptfoo import read_promptfoo
from latent.evals.imports.rows import Imported, evaluation_of

if TYPE_CHECKING:
    from latent.evals.evaluation import Evaluation

Tool = Literal["inspect", "lm-eval", "promptfoo"]
TOOLS: tuple[Tool, ...] = get_args(Tool)


def import_evaluation(tool: str, path: str | Path, *, column: int | None = None) -> Evaluation:
    """
    The rows, outputs and scores of an evaluation that another tool has run, with latent's statistics.

    Nothing is asked and nothing is scored again; further scorers are added by `.score(...)`. It makes a run
    of its own, unless a flow is running.

    Args:
        tool: `inspect` (a log, `.eval` or `.json`), `lm-eval` (`samples_....jsonl`) or `promptfoo`
            (`results.json`).
        column: Of promptfoo's prompts by providers, which one, from 0.

    Raises:
        ImportedResultsError: The file is none of the tool's, of a newer version, or cut off.
        UsageError: There is no such tool or no such file.
    """
    if tool not in TOOLS:
        hint = did_you_mean(tool, TOOLS, f"there are {', '.join(TOOLS)}.")
        raise UsageError(f"Nothing is known of results of {tool!r}: {hint}")
    if column is not None and tool != "promptfoo":
        raise UsageError(f"`column` is for promptfoo: a file of {tool} holds one evaluation.")
    imported = _read(tool, Path(path), column)
    return in_a_run(imported.name, lambda: evaluation_of(imported))


def _read(tool: str, path: Path, column: int | None) -> Imported:
    label = find_workspace().label(path.resolve())
    if not path.is_file():
        what = "a folder: name a file in it" if path.is_dir() else "not there"
        raise UsageError(f"The results {label!r} cannot be read: it is {what}.")
    try:
        if tool == "inspect":
            return read_inspect(path, label)
        return read_lm_eval(path, label) if tool == "lm-eval" else read_promptfoo(path, label, column)
    except (KeyError, TypeError, AttributeError) as error:
        # Foreign documents may be odd in any way; what they are not is what we can read.
        reason = f"something in it has another form than {tool} writes ({type(error).__name__}: {error})"
        raise ImportedResultsError(tool, label, reason) from error
