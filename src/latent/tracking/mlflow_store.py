"""Batches into MLflow: where our plain values become MLflow's types, and its errors ours."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from latent.errors import DamagedDatabaseError, TrackingError
from latent.tracking.payload import Batch, Metric, SpanData, key_of, root_span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latent.tracking.mlflow_runs import AgreedRun

logger = logging.getLogger("latent.tracking.writer")
T = TypeVar("T")

_METRICS_PER_CALL = 500
_PAIRS_PER_CALL = 100
_SPANS_PER_CALL = 200
_STATUS = {"ok": "FINISHED", "failed": "FAILED", "crashed": "FAILED", "interrupted": "KILLED"}
# What MLflow answers when asking again cannot help.
_REFUSALS = frozenset({"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "BAD_REQUEST"})


class RefusedError(TrackingError):
    """MLflow will never take this run: it was deleted there."""


class LostError(TrackingError):
    """MLflow knows nothing of this run (any more): its store was replaced by another one."""


class MLflowSender:
    """Sends batches of one run; every method may be repeated without changing the outcome."""

    def __init__(self, run: AgreedRun, artifact_max_bytes: int) -> None:
        from mlflow.tracking import MlflowClient
        from mlflow.tracking._tracking_service.utils import _get_store

        self.run = run
        self.artifact_max_bytes = artifact_max_bytes
        self.client: Any = MlflowClient(tracking_uri=run.uri)
        self.store: Any = _get_store(run.uri)  # type: ignore[no-untyped-call]  # MLflow's inside
        self.notes: set[str] = set()
        """What MLflow did not take, in a sentence each; the rest of the run is complete."""

    def send(self, about: Mapping[str, Any], batch: Batch) -> None:
        """
        Bring `batch` of the run that `about` (its run.json) describes to MLflow.

        Raises:
            RefusedError: The MLflow run was deleted.
            LostError: The store does not know the run: everything is to be sent again.
            Exception: MLflow cannot be reached, or fails; the whole batch is to be sent again.
        """
        from mlflow.exceptions import MlflowException

        try:
            self._send(about, batch)
        except MlflowException as error:
            if error.error_code in _REFUSALS:
                self._check_run_lives()
            raise

    def _send(self, about: Mapping[str, Any], batch: Batch) -> None:
        if batch.started:
            self.client.update_run(self.run.run_id, status="RUNNING")
            self._trace_info(about, None)
        self._pairs(batch)
        self._metrics(batch.metrics)
        self._datasets(batch.datasets)
        for path, text in batch.texts.items():
            self.client.log_text(self.run.run_id, text, path)
        self._spans(batch.spans)
        if batch.finish is not None:
            self._finish(about, batch.finish)

    def _pairs(self, batch: Batch) -> None:
        from mlflow.entities import Param, RunTag

        for tags in _chunks(list(batch.tags.items()), _PAIRS_PER_CALL):
            self._each([RunTag(*pair) for pair in tags], lambda some: self._log(tags=some))
        for parameters in _chunks(list(batch.parameters.items()), _PAIRS_PER_CALL):
            # One by one after a refusal: user code may have logged a parameter of the same name.
            self._each([Param(*pair) for pair in parameters], lambda some: self._log(params=some))

    def _metrics(self, metrics: Sequence[Metric]) -> None:
        from mlflow.entities import Metric as MLflowMetric

        for chunk in _chunks(metrics, _METRICS_PER_CALL):
            items = [MLflowMetric(m.key, m.value, m.timestamp_ms, m.step) for m in chunk]
            self._each(items, lambda some: self._log(metrics=some))

    def _log(self, **items: list[Any]) -> None:
        self.client.log_batch(self.run.run_id, **items)

    def _each(self, items: list[T], send: Callable[[list[T]], None]) -> None:
        """Send `items` together; when MLflow refuses, one by one, leaving out what it will never take."""
        from mlflow.exceptions import MlflowException

        try:
            send(items)
        except MlflowException as error:
            if error.error_code not in _REFUSALS:
                raise
            self._check_run_lives()
            if len(items) == 1:
                self.notes.add(
                    f"MLflow refused {getattr(items[0], 'key', 'a value')!r}: {error.message[:200]}"
                )
                logger.warning("Run %s: %s", self.run.run_id, error.message)
                return
            for item in items:
                self._each([item], send)

    def _check_run_lives(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            stage = self.client.get_run(self.run.run_id).info.lifecycle_stage
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise LostError(f"MLflow has no run {self.run.run_id} (any more)") from error
            raise
        if stage == "deleted":
            raise RefusedError(f"its MLflow run {self.run.run_id} was deleted")

    def _datasets(self, lines: Sequence[Mapping[str, Any]]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = []
        for line in lines:
            if line["direction"] == "output":
                self._output(line)
            elif line["fingerprint"]:
                place = line["path"] or line["name"]
                kind = "local" if "://" not in place else place.partition("://")[0]
                profile = None if line["rows"] is None else json.dumps({"num_rows": line["rows"]})
                source = json.dumps({"uri": place})
                dataset = Dataset(line["name"], line["fingerprint"][:36], kind, source, profile=profile)
                inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", "input")]))
        if inputs:
            self._each(inputs, lambda some: self.client.log_inputs(self.run.run_id, some))

    def _output(self, line: Mapping[str, Any]) -> None:
        """A small file that is still what the run saved is copied; anything else is referred to."""
        name = key_of(line["name"])
        if line["fingerprint"]:
            self.client.set_tag(self.run.run_id, f"latent.output.{name}", line["fingerprint"])
        path = Path(line["path"]) if line["path"] and "://" not in line["path"] else None
        size = line.get("size_bytes")
        if path is not None and size is not None and size <= self.artifact_max_bytes and path.is_file():
            stat = path.stat()
            if (stat.st_size, stat.st_mtime_ns) == (size, line["mtime_ns"]):
                self.client.log_artifact(self.run.run_id, str(path), f"outputs/{name}")
                return
        reference = {key: line.get(key) for key in ("name", "path", "fingerprint", "rows", "size_bytes")}
        self.client.log_dict(self.run.run_id, reference, f"outputs/{name}.reference.json")

    def _spans(self, spans: Sequence[SpanData]) -> None:
        try:
            for chunk in _chunks(spans, _SPANS_PER_CALL):
                self.store.log_spans(self.run.experiment_id, [_mlflow_span(span) for span in chunk])
        except NotImplementedError:
            self.notes.add("This MLflow server takes no spans (3.4 or newer does): the trace is left out.")

    def _finish(self, about: Mapping[str, Any], finish: Mapping[str, Any]) -> None:
        self._spans([root_span(about, finish)])
        self._trace_info(about, finish)
        end = round(finish["finished_at"] * 1000)
        self.client.set_terminated(self.run.run_id, _STATUS.get(finish["outcome"], "FAILED"), end_time=end)

    def _trace_info(self, about: Mapping[str, Any], finish: Mapping[str, Any] | None) -> None:
        """Name the trace and tie it to the run: at the start, so that it can be watched, and at the end."""
        from mlflow.entities import TraceInfo, TraceLocation, TraceState

        root = root_span(about, finish)
        state = TraceState.IN_PROGRESS
        if finish is not None:
            state = TraceState.OK if finish["outcome"] == "ok" else TraceState.ERROR
        info = TraceInfo(
            trace_id=root.trace_id,
            trace_location=TraceLocation.from_experiment_id(self.run.experiment_id),
            request_time=root.start_ns // 1_000_000,
            state=state,
            request_preview=_preview(root.inputs),
            response_preview=_preview(root.output),
            execution_duration=None if root.end_ns is None else (root.end_ns - root.start_ns) // 1_000_000,
            trace_metadata={"mlflow.sourceRun": self.run.run_id, "mlflow.trace_schema.version": "3"},
            tags={"mlflow.traceName": about["flow"], "latent.run_id": about["run_id"]},
        )
        try:
            self.store.start_trace(info)
        except NotImplementedError:
            self.notes.add("This MLflow store takes no traces.")


def reason_of(error: Exception) -> str:
    """Why MLflow did not take a batch, in one sentence without a traceback."""
    if isinstance(error, TrackingError):
        return str(error)
    text = " ".join(str(getattr(error, "message", "") or error).split())
    if "malformed" in text or "not a database" in text:
        return str(DamagedDatabaseError("mlflow.db", text[:200]))
    return f"{type(error).__name__}: {text[:500]}"


def is_login_refused(error: Exception) -> bool:
    """Whether the server did not accept the credentials that this process has."""
    return getattr(error, "error_code", None) in ("UNAUTHENTICATED", "PERMISSION_DENIED")


def _mlflow_span(span: SpanData) -> Any:
    from mlflow.entities import Span

    attributes: dict[str, Any] = {
        "mlflow.traceRequestId": span.trace_id,
        "mlflow.spanType": span.span_type,
        **span.attributes,
    }
    if span.inputs is not None:
        attributes["mlflow.spanInputs"] = span.inputs
    if span.output is not None:
        attributes["mlflow.spanOutputs"] = span.output
    return Span.from_dict(
        {
            "trace_id": _bytes(span.trace_id.removeprefix("tr-")),
            "span_id": _bytes(span.span_id),
            "parent_span_id": None if span.parent_id is None else _bytes(span.parent_id),
            "name": span.name,
            "start_time_unix_nano": span.start_ns,
            "end_time_unix_nano": span.end_ns,
            "status": _status(span),
            "attributes": {key: json.dumps(value, ensure_ascii=False) for key, value in attributes.items()},
            "events": [] if span.error is None else [_exception_event(span)],
        }
    )


def _status(span: SpanData) -> dict[str, str]:
    if span.error is not None:
        return {
            "code": "STATUS_CODE_ERROR",
            "message": f"{span.error.get('type')}: {span.error.get('message')}",
        }
    return {"code": "STATUS_CODE_UNSET" if span.end_ns is None else "STATUS_CODE_OK", "message": ""}


def _exception_event(span: SpanData) -> dict[str, Any]:
    error = span.error or {}
    facts = {"type": error.get("type"), "message": error.get("message"), "stacktrace": error.get("traceback")}
    return {
        "name": "exception",
        "time_unix_nano": span.end_ns or span.start_ns,
        "attributes": {f"exception.{key}": str(value) for key, value in facts.items() if value is not None},
    }


def _bytes(hex_digits: str) -> str:
    return base64.b64encode(bytes.fromhex(hex_digits)).decode()


def _preview(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)[:1_000]


def _chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
