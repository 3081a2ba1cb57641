"""
Why results were reused or not: what the last run of a flow recorded, and what differs from the run before.

Where something was remembered under a result's key, the run itself wrote down why it did not count. Where
nothing was, the key is a new one: then the same row of an earlier run says which part of it is different.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from latent.cache import open_memory
from latent.errors import LatentError, UsageError
from latent.errors.text import did_you_mean
from latent.tracking.rows_view import load_rows
from latent.tracking.views import RunView, list_runs

if TYPE_CHECKING:
    from latent.cache import Entry
    from latent.config import Workspace

_EARLIER_RUNS = 20
"""So many runs are looked through for the same row."""
_COMPARED = 2_000
"""So many results of one task are compared part by part; the rest of a larger map is as they are."""


@dataclass(frozen=True, slots=True)
class Result:
    """One result of a task in a run: a row, or a call outside of maps."""

    index: int
    """Position among the rows, or among the task's calls."""
    id: str | None
    """None for a call."""
    outcome: str
    key: str | None
    recorded: str | None
    """Why it was not reused, as the run wrote it down."""
    error: str | None = None
    cache: str | None = None
    """The memory's part in a call, as `TaskRecord.cache`; None for rows."""

    @property
    def has_own_id(self) -> bool:
        """Whether the user named the row; else its id is made of its index and content."""
        return self.id is not None and self.id != str(self.index) and not self.id.startswith(f"{self.index}-")

    @property
    def name(self) -> str:
        """How people find it again."""
        if self.id is None:
            return f"call {self.index + 1}"
        return f"row {self.index} ({self.id})" if self.has_own_id else f"row {self.index}"


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether one result was reused, and why not."""

    result: Result
    reason: str | None
    """What kept it from being reused; None when it was."""
    computed_at: float | None = None
    """Unix seconds at which a reused result was computed; None when that is not known any more."""

    @property
    def is_reused(self) -> bool:
        return self.reason is None


@dataclass(frozen=True)
class Explanation:
    """What became of a task's results in the last run of its flow, with regard to the memory."""

    run: RunView
    earlier: RunView | None
    """The run that new keys were compared with; None when there was none to compare with."""
    task: str
    answers: Sequence[Answer]

    @property
    def reused(self) -> int:
        return sum(answer.is_reused for answer in self.answers)

    def reasons(self) -> list[tuple[str, int, Result]]:
        """Each reason with the number of results that were not reused for it, and the first of them."""
        missed = [answer for answer in self.answers if answer.reason is not None]
        counts = Counter(answer.reason for answer in missed)
        first = {answer.reason: answer.result for answer in reversed(missed)}
        return [(reason, count, first[reason]) for reason, count in counts.most_common() if reason]


def why(workspace: Workspace, flow: str, task: str, row: str | None = None) -> Explanation:
    """
    Why the results of a task were reused or not in the last run of a flow.

    Args:
        row: One row only, by its id or its index.

    Raises:
        UsageError: The flow has not run, its last run did not call the task, or had no such row.
    """
    runs = list_runs(workspace, flow=flow, limit=1 + _EARLIER_RUNS)
    if not runs:
        raise UsageError(_not_run(workspace, flow))
    results = _results(workspace, runs[0], task)
    if not results:
        raise UsageError(_not_called(workspace, runs[0], task))
    chosen = results if row is None else [_chosen(results, row, task)]
    unexplained = [
        result for result in chosen if _known_reason(result) is None and result.outcome != "cached"
    ]
    earlier, before = _before(workspace, runs[1:], task) if unexplained else (None, [])
    compare = _Comparison(workspace, flow, unexplained[:_COMPARED], before)
    ages = _ages(workspace, chosen) if len(chosen) == 1 else {}
    answers = []
    for result in chosen:
        if result.outcome == "cached":
            answers.append(Answer(result, None, ages.get(result.key or "")))
        else:
            answers.append(Answer(result, _known_reason(result) or compare.reason(result)))
    return Explanation(runs[0], earlier, task, answers)


def called_tasks(workspace: Workspace, flow: str) -> list[str]:
    """
    The tasks that the last run of a flow called or mapped.

    Raises:
        UsageError: The flow has not run.
    """
    for run in list_runs(workspace, flow=flow, limit=1):
        return _called(workspace, run)
    raise UsageError(_not_run(workspace, flow))


def _called(workspace: Workspace, run: RunView) -> list[str]:
    mapped = load_rows(workspace, run.run_id).column("task").unique().to_pylist()
    return list(dict.fromkeys([*(each["name"] for each in run.tasks), *mapped]))


def _results(workspace: Workspace, run: RunView, task: str) -> list[Result]:
    """The rows of a task and its calls outside of maps, in order."""
    rows = load_rows(workspace, run.run_id).select(
        ["task", "index", "id", "outcome", "key", "reason", "error"]
    )
    found = [
        Result(row["index"], row["id"], row["outcome"], row["key"], row["reason"], row["error"])
        for row in rows.to_pylist()
        if row["task"] == task
    ]
    calls = (
        line
        for line in run.task_lines()
        if line["name"] == task and line.get("row_index") is None and not line.get("row_outcomes")
    )
    found += [
        Result(
            position, None, line["outcome"], line.get("key"), line.get("reason"), cache=line["cache"],
            error=(line.get("error") or {}).get("message"),
        )
        for position, line in enumerate(calls)
    ]  # fmt: skip
    return sorted(found, key=lambda result: (result.id is None, result.index))


def _chosen(results: Sequence[Result], row: str, task: str) -> Result:
    by_id = {result.id: result for result in results if result.id is not None}
    by_index = {str(result.index): result for result in results}
    if (found := by_id.get(row) or by_index.get(row)) is not None:
        return found
    otherwise = f"there are {len(results):,}, by index from 0, or by id."
    hint = did_you_mean(row, by_id, otherwise) if len(by_id) < _COMPARED else otherwise
    raise UsageError(f"The last run of task {task!r} had no row {row!r}: {hint}")


def _known_reason(result: Result) -> str | None:
    """Why a result was not reused, as far as its own record says it."""
    if result.outcome == "skipped":
        return f"skipped: {result.error or result.recorded or 'the run stopped before it'}"
    if result.recorded is not None:
        return result.recorded
    if result.cache == "off":
        return "the task is not remembered"
    if result.key is None:
        return "it has no key: an argument without a fingerprint, or a task that is not remembered"
    return None


def _before(workspace: Workspace, runs: Iterable[RunView], task: str) -> tuple[RunView | None, list[Result]]:
    """The newest of the runs that had results of the task, and those."""
    for run in islice(runs, _EARLIER_RUNS):
        if results := _results(workspace, run, task):
            return run, results
    return None, []


class _Comparison:
    """Tells what is different about results whose keys are new, by the same rows of an earlier run."""

    def __init__(
        self, workspace: Workspace, flow: str, results: Sequence[Result], before: Sequence[Result]
    ) -> None:
        self._any_before = bool(before)
        self._by_key = {result.key: result for result in before if result.key is not None}
        self._by_id = {result.id: result for result in before if result.id is not None}
        self._by_index = {(result.id is None, result.index): result for result in before}
        pairs = [(result, self._same(result)) for result in results]
        keys = {each.key for pair in pairs for each in pair if each is not None and each.key}
        self._entries = open_memory(workspace).store.describe_many(sorted(keys)) if keys else {}
        self._datasets = _catalog_names(workspace, flow)

    def reason(self, result: Result) -> str:
        """Why a result was not reused, by what it was in the earlier run."""
        if (then := self._same(result)) is None:
            if not self._any_before:
                return "it is the first run of the task that is recorded"
            return "the row is new" if result.id is not None else "the call is new"
        if then.key == result.key:
            if then.outcome in ("failed", "skipped"):
                return f"it {'failed' if then.outcome == 'failed' else 'was skipped'} in the run before"
            return "its remembered result was forgotten"
        old, new = self._entry(then), self._entry(result)
        if old is None or new is None:
            return "an argument or dataset"
        return self._different_parts(old.key_parts, new.key_parts) or "the parameters that the task takes"

    def _same(self, result: Result) -> Result | None:
        """The same row of the earlier run: by its key, else its id; by its place when nobody gave it one."""
        found = self._by_key.get(result.key or "") or self._by_id.get(result.id or "")
        if found is None and not result.has_own_id:
            return self._by_index.get((result.id is None, result.index))
        return found

    def _entry(self, result: Result) -> Entry | None:
        entries = self._entries.get(result.key or "")
        return entries[0] if entries else None

    def _different_parts(self, then: Mapping[str, str], now: Mapping[str, str]) -> str:
        names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
        if names == ["cache_key"]:
            return "the task's own cache key"
        return ", ".join(f"{self._kind(name)} {name!r}" for name in names)

    def _kind(self, name: str) -> str:
        # `other_flow.dataset`: no argument can be called so.
        return "dataset" if "." in name or name in self._datasets else "argument"


def _ages(workspace: Workspace, results: Iterable[Result]) -> dict[str, float]:
    """When reused results were computed, by key."""
    keys = [result.key for result in results if result.key and result.outcome == "cached"]
    found = open_memory(workspace).store.describe_many(keys) if keys else {}
    return {key: entries[0].created_at for key, entries in found.items()}


def _catalog_names(workspace: Workspace, flow: str) -> frozenset[str]:
    """The datasets of the flow's catalog; none when it cannot be read."""
    from latent.catalog import Catalog

    try:
        catalog = Catalog.load(workspace, flow_name=flow, folder=workspace.flow_folder(flow))
        return frozenset(catalog.names())
    except LatentError:
        return frozenset()  # running the flow reports it; what changed can be said all the same


def _not_run(workspace: Workspace, flow: str) -> str:
    known = {run.flow_name for run in list_runs(workspace)}
    hint = did_you_mean(flow, known, f"`latent run {flow}` runs it.")
    return f"No run of a flow {flow!r} is recorded in {workspace.label(workspace.runs_dir)}: {hint}"


def _not_called(workspace: Workspace, run: RunView, task: str) -> str:
    known = _called(workspace, run)
    hint = did_you_mean(task, known, f"it called {', '.join(known) or 'none'}.")
    return f"The last run of flow {run.flow_name!r} called no task {task!r}: {hint}"
