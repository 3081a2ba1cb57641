"""What a run tells its recorder: plain frozen values, cheap to make ten thousand times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

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
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Further attributes of the span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRecord:
    """A span that is no task: a model call, a checkpoint, a phase."""

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
