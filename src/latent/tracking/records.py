"""What a run tells its recorder: plain frozen values, cheap to make ten thousand times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Outcome = Literal["ok", "cached", "failed", "abstained", "skipped"]
CacheState = Literal["hit", "miss", "off", "unkeyed"]
RunOutcome = Literal["ok", "failed", "interrupted"]
Direction = Literal["input", "output"]

SUCCESSFUL: frozenset[str] = frozenset({"ok", "cached"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """One execution of a flow, as it is known when it starts."""

    run_id: str
    """Identifies the run everywhere; the Prefect flow run's id."""
    flow_name: str
    """Also the name of the MLflow experiment."""
    started_at: float
    """Seconds since the epoch."""
    parent_run_id: str | None = None
    """The run that called this one as a subflow; None for a run of its own."""
    run_name: str | None = None
    """A name for people; MLflow shows it in its table."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Nested, as the flow sees them; secrets are masked before anything is written."""
    configuration: Mapping[str, Any] | None = None
    """All of `get_config()`, kept as an artifact; None keeps `parameters` instead."""
    environment: str = "production"
    """The workspace's `environment` setting."""
    command: tuple[str, ...] = ()
    """The command line that started the run; empty when there was none."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Further MLflow tags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """What became of one call of a task: one line of the table of tasks, one span of the trace."""

    name: str
    """The task's name, not its function's."""
    outcome: Outcome
    started_at: float
    """Seconds since the epoch."""
    duration_seconds: float
    """From the first attempt's start to the last one's end, pauses included."""
    task_run_id: str | None = None
    """Prefect's id; None for a hit, which makes no task run."""
    attempts: int = 1
    """0 for a hit."""
    cache: CacheState = "off"
    span_type: str = "CHAIN"
    """An MLflow span type: CHAIN, AGENT, TOOL, LLM, RETRIEVER, ..."""
    span_id: str | None = None
    """Names the span for its children; any text that is unique in the run. None: nobody refers to it."""
    parent_span_id: str | None = None
    """The `span_id` of the enclosing span; None puts it right under the flow."""
    inputs: Mapping[str, Any] | None = None
    """Shortened arguments by name (`RunRecorder.preview` makes them)."""
    output: Any = None
    """The shortened result."""
    rows_in: int | None = None
    """None: not countable, which is not 0."""
    rows_out: int | None = None
    error: Mapping[str, Any] | None = None
    """`type`, `message` and whatever else explains a failure (`describe_error` makes it)."""
    row_index: int | None = None
    """Position in the mapped rows, from 0; None for a call that was not mapped."""
    row_outcomes: Mapping[str, int] | None = None
    """When the record stands for many rows (a batch, a bulk of hits): how many had which outcome."""
    row_seconds: tuple[float, float, float] | None = None
    """
    Of many rows: how long the quickest and the slowest that ran took, and all of them together.

    None when the record stands for one call, when no row ran, or when nobody measured.
    """
    key: str | None = None
    """The key under which the result is remembered; None: it is not."""
    reason: str | None = None
    """Why the result was not reused, as far as it is known: see `RowRecord.reason`."""
    cost_usd: float | None = None
    """What the call, or all its rows, cost; None: unknown, which is not free."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Further attributes of the span."""


class RowRecord(NamedTuple):
    """
    What became of one row of a map: one line of the table of rows.

    A tuple, since a hundred thousand are made and a frozen dataclass takes several times as long.
    """

    task: str
    index: int  # type: ignore[assignment]  # the row's, in the place of a tuple's method that nobody needs
    """Position among the mapped rows, from 0."""
    id: str
    """Names the row from run to run: the user's, else made of its index and content."""
    outcome: Outcome
    attempts: int = 1
    """0 for a row that did not run: a hit, or one that was skipped."""
    started_at: float | None = None
    """Seconds since the epoch; None for a row that did not run."""
    duration_seconds: float = 0.0
    """From the first attempt's start to the last one's end, pauses included."""
    queue_seconds: float = 0.0
    """How long it waited for a worker and for its limit."""
    key: str | None = None
    """The key under which its result is remembered; None: it is not."""
    error: Mapping[str, Any] | None = None
    """`type` and `message` of what it failed with (`describe_error` makes it); more is not kept."""
    reason: str | None = None
    """
    Why it was not reused, where the memory says it: `expired`, `code of 'build' in flows/ask/flow.py`,
    `parameter 'model'`. None when nothing was known under its key: `latent why` looks for what is different.
    """
    cost_usd: float | None = None
    """None: unknown, which is not free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRecord:
    """A span that is not a task: a model call, a checkpoint, a phase."""

    name: str
    started_at: float
    duration_seconds: float
    span_type: str = "CHAIN"
    span_id: str | None = None
    parent_span_id: str | None = None
    inputs: Mapping[str, Any] | None = None
    output: Any = None
    error: Mapping[str, Any] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def describe_error(error: BaseException, *, limit: int = 2_000) -> dict[str, Any]:
    """The type, message and traceback of `error` as a record keeps them; `limit` cuts the message."""
    import traceback

    text = "".join(traceback.format_exception(error))
    return {
        "type": type(error).__qualname__,
        "message": _cut(_message(error), limit),
        # The end of a traceback names the line that raised; that is the part worth keeping.
        "traceback": text if len(text) <= 4 * limit else "...\n" + text[-4 * limit :],
    }


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # a user's __str__ may raise, and a record must still be written
        return f"<no message: {type(error).__qualname__}.__str__ raised {type(broken).__qualname__}>"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... [{len(text) - limit:,} more characters]"
