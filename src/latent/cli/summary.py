"""What is shown at the end of a run: how it went, where results lie, how to go on."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent.cli.terminal import align, colour, printable, say, show_table
from latent.cli.wording import duration, money, outcomes, several
from latent.errors import RunStoppedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from latent.cli.run_arguments import RunArguments
    from latent.config import Workspace
    from latent.prefect.outcomes import TaskAccount
    from latent.prefect.running import RunResult
    from latent.tracking import RunView

RESULT_CHARS = 300
"""A returned value is shown up to this length."""

MODEL_COLUMNS = ("model", "calls", "tokens in", "tokens out", "cost")
"""What is shown of the models that a run called."""

_SHADES = {"done": "green", "failed": "red", "stopped": "yellow", "interrupted": "yellow"}


def show_result(workspace: Workspace, result: RunResult, arguments: RunArguments) -> None:
    """Print the end of a run; `arguments` are those that it was started with."""
    say(headline(result))
    if result.tasks:
        show_table(["task", "outcome", "time", "reused"], task_rows(result.tasks))
    if result.services:
        shown = {name: account.as_dict() for name, account in result.services.items()}
        show_table(MODEL_COLUMNS, model_rows(shown))
    if result.run_id is not None:
        show_evaluations(workspace.runs_dir / result.run_id)
    show_facts(_facts(workspace, result, arguments))


def show_evaluations(run_folder: Path) -> None:
    """The metrics of each evaluation that a run holds."""
    if not (run_folder / "evaluations").is_dir():
        return  # nearly all runs: nothing is imported for them
    from latent.errors import EvaluationNotFoundError
    from latent.evals import load_evaluation
    from latent.evals.comparing.gate_text import HEADS, gate_rows
    from latent.evals.records import evaluations_in
    from latent.evals.table import lines_of

    folders = evaluations_in(run_folder)
    for folder in folders:
        try:
            evaluation = load_evaluation(folder)
        except EvaluationNotFoundError as error:
            say(printable(str(error)))
            continue
        if evaluation.metrics:
            heads, rows = lines_of(evaluation.metrics.values())
            # Of several, each table says which evaluation it is of.
            show_table(heads if len(folders) == 1 else [evaluation.name, *heads[1:]], rows)
        if evaluation.gates is not None:
            show_table(HEADS, gate_rows(evaluation.gates))


def headline(result: RunResult) -> str:
    """The outcome in one line."""
    word = _ending(result)
    line = f"Flow {result.flow_name!r} {colour(word, _SHADES[word])} after {duration(result.seconds)}"
    if result.state == "ok" and result.reused and not result.executed:
        return f"{line}: everything was reused, nothing had to be computed."
    line = f"{line}: {outcomes(result.counts)}." if result.counts else f"{line}."
    line += reused_rows(result.tasks)
    if not (result.counts and _is_unfinished(result)):
        return line
    lost = f", except for {several(result.unkept, 'result')}" if result.unkept else ""
    return f"{line} What is finished is kept{lost}."


def _ending(result: RunResult) -> str:
    """A run that only left rows out, for its budget say, was stopped: nothing went wrong in it."""
    if result.state == "failed" and isinstance(result.error, RunStoppedError):
        return "stopped"
    return "done" if result.state == "ok" else result.state


def reused_rows(tasks: Mapping[str, TaskAccount]) -> str:
    """How many rows of mapped tasks were remembered, as a further sentence; empty when none were."""
    mapped = [task.counts for task in tasks.values() if task.planned]
    hits = sum(counts["cached"] for counts in mapped)
    return f" {hits:,} of {several(sum(map(Counter.total, mapped)), 'row')} reused." if hits else ""


def task_rows(tasks: Mapping[str, TaskAccount]) -> list[tuple[str, str, str, str]]:
    """A line for each task: name, outcomes, time, and how many calls were reused."""
    return [
        (name, outcomes(task.counts), duration(task.seconds), reused(task.counts))
        for name, task in tasks.items()
        if task.counts or task.planned
    ]


def model_rows(models: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str, str, str]]:
    """A line for each model: its answered requests, tokens of prompts and answers, and what they cost."""
    return [
        (
            name,
            f"{account['calls']:,}",
            f"{account['amounts'].get('input_tokens', 0):,}",
            f"{account['amounts'].get('output_tokens', 0):,}",
            _cost(account),
        )
        for name, account in models.items()
    ]


def _cost(account: Mapping[str, Any]) -> str:
    """What a model's calls cost, as far as their prices are known."""
    if account["cost_usd"] is None:
        return "unknown"
    unpriced = account["unpriced"]
    return money(account["cost_usd"]) + (f" and {several(unpriced, 'unpriced call')}" if unpriced else "")


def reused(counts: Mapping[str, int]) -> str:
    """How many of all calls were remembered: `3 of 12`."""
    return f"{counts.get('cached', 0):,} of {sum(counts.values()):,}"


def show_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Lines of `name: value`, values below one another."""
    rows = [(f"{name}:", value) for name, value in facts]
    for line in align(rows):
        say(line)


def mlflow_command(workspace: Workspace, run: RunView) -> str | None:
    """How to look at a run in MLflow; None when MLflow was not told of it."""
    uri = run.record.get("tracking_uri")
    if not run.tracked or not uri:
        return None
    if uri.startswith(("http://", "https://", "databricks")):
        return str(uri)
    if uri.endswith(workspace.mlflow_db.as_posix()):
        from latent.config.running_services import running_service

        if (service := running_service(workspace, "mlflow")) is not None:
            return service.url
        if workspace.root == Path.cwd():
            uri = f"sqlite:///{workspace.label(workspace.mlflow_db)}"
    return f"mlflow ui --backend-store-uri {uri}"


def resume_command(flow_name: str, options: Iterable[str]) -> str:
    """The command line that runs the flow again with these options."""
    words = ["latent", "run", flow_name, *options]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _is_unfinished(result: RunResult) -> bool:
    """Whether running the flow again would go on with something; wrong use would only be wrong again."""
    if isinstance(result.error, UsageError):
        return False
    return result.state != "ok" or result.stopped_by is not None or bool(result.counts["skipped"])


def _facts(workspace: Workspace, result: RunResult, arguments: RunArguments) -> Iterator[tuple[str, str]]:
    from latent.config import masker_for

    mask = masker_for(workspace).text
    for reason in _reasons_to_stop(result):
        yield "Stopped", printable(mask(reason))
    if skipped := result.counts["skipped"]:
        yield "Skipped", _skipped(skipped, sum(task.left_out for task in result.tasks.values()))
    if result.unkept:
        yield (
            "Lost",
            f"{several(result.unkept, 'result')} that could not be written and will be computed again",
        )
    if result.value is not None and not _is_shown(result):
        yield "Result", mask(_shown(result.value, mask))
    if costs := [task.cost_usd for task in result.tasks.values() if task.cost_usd is not None]:
        yield "Cost", money(sum(costs))
    if (run := _recorded(workspace, result)) is not None:
        saved = {each["name"]: each["path"] for each in run.datasets if each["direction"] == "output"}
        for name, path in saved.items():
            shown = workspace.label(Path(path)) if path and "://" not in path else path
            yield "Saved", printable(f"{name} ({shown})" if shown else name)
        yield "Run", workspace.label(run.folder.path)
        if (command := mlflow_command(workspace, run)) is not None:
            yield "MLflow", command
        log = workspace.logs_dir / f"{run.run_id}.log"
        if result.state != "ok" and log.exists():
            yield "Log", workspace.label(log)
        if result.counts["failed"]:
            yield "Failures", f"latent runs failures {run.run_id[:8]}"
        if _is_unfinished(result):
            yield "Resume", mask(resume_command(result.flow_name, arguments.words(result.tasks)))
            for text in arguments.half_refreshed(result.tasks):
                told = f"rows that --refresh {text} did not reach keep what is remembered"
                yield "Note", mask(f"{told}; say it again for all of them")


def _is_shown(result: RunResult) -> bool:
    """Whether the flow returned an evaluation, whose table stands above, or a comparison, which is shown."""
    return type(result.value).__module__.startswith("latent.evals.")


def _skipped(rows: int, left_out: int) -> str:
    """Why rows did not run: the run did not get to them, or they were not asked for."""
    stopped = f"{several(rows - left_out, 'row')}, not begun" if rows > left_out else ""
    unasked = f"{several(left_out, 'row')}, left out by --only-failed" if left_out else ""
    return "; ".join(filter(None, (stopped, unasked)))


def _reasons_to_stop(result: RunResult) -> Iterator[str]:
    """Why rows were not begun, as far as nothing else says it: the error of a flow that failed does."""
    if result.stopped_by is not None:
        yield result.stopped_by
    elif result.state == "ok":
        yield from dict.fromkeys(task.stopped_by for task in result.tasks.values() if task.stopped_by)


def _recorded(workspace: Workspace, result: RunResult) -> RunView | None:
    """The run's folder; None when the run ended before it began, or its folder cannot be read."""
    from latent.errors import RunNotFoundError
    from latent.tracking import load_run

    if result.run_id is None:
        return None
    try:
        return load_run(workspace, result.run_id)
    except (RunNotFoundError, OSError):
        return None  # a full or read-only disk: said in the log when it happened


def _shown(value: Any, mask: Any) -> str:
    from latent.tracking import shorten

    preview = shorten(value, RESULT_CHARS, mask=mask)
    return printable(preview if isinstance(preview, str) else repr(preview))
