"""
What lines of a run's files mean to MLflow, as plain values: no MLflow here, and nothing is sent.

The same lines always give the same values (keys, steps, times, span ids), so that lines sent twice after a
crash change nothing the second time.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from latent.tracking.journal import MAX_SPANS
from latent.tracking.records import SUCCESSFUL
from latent.tracking.summary import rows_of

PARAMETER_CHARS = 500
"""Longer values are shortened; servers of every age take this length."""
MAX_PARAMETERS = 500
_TAG_CHARS = 1_000
_KEY_CHARS = 200
_ROOT = "flow"
_TOLD_APART = ("failed", "abstained", "skipped")
"""Outcomes of many calls that have a metric each, where there are any; `hits` are the cached ones."""


@dataclass(frozen=True, slots=True)
class Metric:
    key: str
    value: float
    timestamp_ms: int
    step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanData:
    """One span, by ids that follow from the run and the span's name in it."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    span_type: str
    start_ns: int
    end_ns: int | None
    inputs: Any = None
    output: Any = None
    error: Mapping[str, Any] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """Everything that a stretch of lines says to MLflow."""

    metrics: list[Metric] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    spans: list[SpanData] = field(default_factory=list)
    datasets: list[Mapping[str, Any]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    """Artifacts by their path in the run."""
    started: bool = False
    finish: Mapping[str, Any] | None = None


def batch_of(
    run: Mapping[str, Any], events: Iterable[Mapping[str, Any]], tasks: Iterable[Mapping[str, Any]]
) -> Batch:
    """What new lines of `events.jsonl` and `tasks.jsonl` of `run` (its run.json) say to MLflow."""
    batch = Batch()
    for line in tasks:
        _task(batch, run, line)
    for line in events:
        kind = line.get("event")
        if kind == "start":
            _start(batch, run, line)
        elif kind == "metric":
            batch.metrics.append(
                Metric(key_of(line["name"]), float(line["value"]), _ms(line["at"]), int(line["step"]))
            )
        elif kind == "span":
            batch.spans.append(
                _span(run, line, line.get("span_id") or f"span-{line['started_at']}-{line['name']}")
            )
        elif kind == "dataset":
            batch.datasets.append(line)
        elif kind == "provenance":
            batch.tags |= _provenance_tags(line)
        elif kind == "finish":
            _finish(batch, run, line)
    return batch


def _used(name: str, account: Mapping[str, Any], at: int) -> list[Metric]:
    """What a run used of one model."""
    numbers = {"calls": account["calls"], **account["amounts"], "cost_usd": account["cost_usd"]}
    prefix = f"model.{key_of(name)}"
    return [Metric(f"{prefix}.{key}", value, at) for key, value in numbers.items() if value is not None]


def crashed(run: Mapping[str, Any], last_seen: float, tasks: Sequence[Mapping[str, Any]]) -> Batch:
    """The end that a run never wrote, because its process died."""
    error = {"type": "Crashed", "message": "The process died before the run ended."}
    line = {"event": "finish", "outcome": "crashed", "finished_at": last_seen, "error": error, "tasks": tasks}
    return batch_of(run, [line], [])


def flatten(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Nested parameters by dotted name, each as text of at most `PARAMETER_CHARS` characters."""
    flat: dict[str, str] = {}

    def walk(value: Any, name: str) -> None:
        if isinstance(value, Mapping) and value:
            for key, inner in value.items():
                walk(inner, f"{name}.{key}" if name else str(key))
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            flat[key_of(name)] = cut(text, PARAMETER_CHARS)

    if parameters:
        walk(parameters, "")
    return flat


def cut(text: str, limit: int) -> str:
    """`text` in at most `limit` characters, with a marker where it was cut."""
    if len(text) <= limit:
        return text
    marker = f"... [{len(text):,} characters]"
    return text[: limit - len(marker)] + marker


def key_of(name: str) -> str:
    """`name` as a key of MLflow, which allows letters, digits, '_', '-', '.' and spaces everywhere."""
    key = re.sub(r"[^\w\-. ]", "_", name)[:_KEY_CHARS].strip()
    # A key made of dots would be a path.
    return key if key.strip(".") else key.replace(".", "_") or "_"


def trace_id(run_id: str) -> str:
    """The id of the run's trace: the same whenever it is asked for."""
    return "tr-" + hashlib.sha256(run_id.encode()).hexdigest()[:32]


def span_id(run_id: str, name: str) -> str:
    """The id of the span `name` in the run's trace, 16 hex digits."""
    return hashlib.sha256(f"{run_id}\n{name}".encode()).hexdigest()[:16]


def root_span(run: Mapping[str, Any], finish: Mapping[str, Any] | None = None) -> SpanData:
    """The span of the whole run; without an end while it goes on."""
    finish = finish or {}
    finished_at = finish.get("finished_at")
    return SpanData(
        trace_id=trace_id(run["run_id"]),
        span_id=span_id(run["run_id"], _ROOT),
        parent_id=None,
        name=run["flow"],
        span_type="CHAIN",
        start_ns=_ns(run["started_at"]),
        end_ns=None if finished_at is None else _ns(max(finished_at, run["started_at"])),
        inputs=run["parameters"],
        output=finish.get("result_preview"),
        error=finish.get("error"),
        attributes={"latent.run_id": run["run_id"], "latent.state": finish.get("outcome", "running")},
    )


def _start(batch: Batch, run: Mapping[str, Any], line: Mapping[str, Any]) -> None:
    batch.started = True
    flat = flatten(run["parameters"])
    batch.parameters = dict(list(flat.items())[:MAX_PARAMETERS])
    if len(flat) > MAX_PARAMETERS:
        batch.tags["latent.parameters_left_out"] = str(len(flat) - MAX_PARAMETERS)
    batch.texts["configuration.json"] = json.dumps(line["configuration"], indent=2, ensure_ascii=False)
    batch.tags |= {
        "latent.flow": run["flow"],
        "latent.environment": run["environment"],
        "latent.state": "running",
    }
    if run["command"]:
        batch.tags["mlflow.source.name"] = " ".join(run["command"])
    batch.tags |= {key_of(key): str(value) for key, value in run["tags"].items()}
    batch.tags = {key: cut(value, _TAG_CHARS) for key, value in batch.tags.items()}


def _provenance_tags(found: Mapping[str, Any]) -> dict[str, str]:
    tags = {f"latent.package.{key_of(name)}": version for name, version in found["packages"].items()}
    tags["latent.python"] = found["python"]
    if found["git"] is not None:
        tags["latent.git.dirty"] = str(found["git"]["dirty"]).lower()
        tags["latent.git.branch"] = str(found["git"]["branch"])
        if found["git"]["commit"]:
            tags["mlflow.source.git.commit"] = found["git"]["commit"]
    return tags


def _task(batch: Batch, run: Mapping[str, Any], line: Mapping[str, Any]) -> None:
    if line["step"] is not None:
        at = _ms(line["started_at"] + line["duration_seconds"])
        prefix = f"task.{key_of(line['name'])}"
        succeeded = all(outcome in SUCCESSFUL for outcome, rows in rows_of(line).items() if rows)
        batch.metrics += [
            Metric(f"{prefix}.duration", line["duration_seconds"], at, line["step"]),
            Metric(f"{prefix}.status", int(succeeded), at, line["step"]),
        ]
    if line["span"]:
        batch.spans.append(_span(run, line, line["span_id"] or f"task-{line['index']}"))


def _span(run: Mapping[str, Any], line: Mapping[str, Any], name: str) -> SpanData:
    parent = line["parent_span_id"] or _ROOT
    if line.get("index", 0) >= MAX_SPANS:
        parent = _ROOT  # the enclosing span may itself have been left out
    about = (
        "outcome",
        "cache",
        "attempts",
        "task_run_id",
        "row_index",
        "rows_in",
        "rows_out",
        "row_outcomes",
        "reason",
        "cost_usd",
    )
    facts = {f"latent.{key}": line[key] for key in about if line.get(key) is not None}
    return SpanData(
        trace_id=trace_id(run["run_id"]),
        span_id=span_id(run["run_id"], name),
        parent_id=span_id(run["run_id"], parent),
        name=line["name"],
        span_type=line["span_type"],
        start_ns=_ns(line["started_at"]),
        end_ns=_ns(line["started_at"] + max(line["duration_seconds"], 0.0)),
        inputs=line["inputs"],
        output=line["output"],
        error=line["error"],
        attributes={**facts, **(line["attributes"] or {})},
    )


def _finish(batch: Batch, run: Mapping[str, Any], line: Mapping[str, Any]) -> None:
    batch.finish = line
    batch.tags["latent.state"] = line["outcome"]
    at = _ms(line["finished_at"])
    batch.metrics.append(Metric("run.duration", max(line["finished_at"] - run["started_at"], 0.0), at))
    for task in line["tasks"]:
        batch.metrics += _sums(task, at)
    for name, account in (line.get("models") or {}).items():
        batch.metrics += _used(name, account, at)
    if error := line.get("error"):
        batch.tags["latent.error"] = cut(f"{error.get('type')}: {error.get('message')}", _TAG_CHARS)
        batch.texts["error.txt"] = str(error.get("traceback") or batch.tags["latent.error"])


def _sums(task: Mapping[str, Any], at: int) -> list[Metric]:
    """The closing values of one task; the last status of a task that ran often is that of all its calls."""
    prefix = f"task.{key_of(task['name'])}"
    sums = {name: task.get(name) for name in ("hits", "rows_in", "rows_out", "cost_usd")}
    if task["calls"] > 1:
        sums |= {
            "calls": task["calls"],
            "duration.total": task["duration_seconds"],
            "duration.mean": task["duration_seconds"] / task["calls"],
            "duration.max": task["max_seconds"],
            **{outcome: task.get("outcomes", {}).get(outcome) for outcome in _TOLD_APART},
        }
    metrics = [Metric(f"{prefix}.{key}", value, at) for key, value in sums.items() if value is not None]
    if task["calls"] > 1:
        metrics.append(Metric(f"{prefix}.status", task["status"], at, task["calls"]))
    return metrics


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)


def _ns(seconds: float) -> int:
    return round(seconds * 1_000_000_000)
