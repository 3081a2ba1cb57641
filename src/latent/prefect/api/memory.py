"""The whole in-memory API: its tables, its routes, and a look inside for tests."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Iterable
from typing import Any

from latent.prefect.api.artifacts import Artifacts
from latent.prefect.api.flow_runs import FlowRuns
from latent.prefect.api.http import decode_segment
from latent.prefect.api.limits import GlobalLimit, GlobalLimits
from latent.prefect.api.messages import Answer, Handler, RefusalError, Request, Route, needs_server
from latent.prefect.api.records import Record
from latent.prefect.api.task_runs import TaskRuns
from latent.prefect.api.variables import Variables


class MemoryApi:
    """
    What a Prefect server would know about this process, in memory and bounded.

    `answer` serves the requests; the other methods show the state as plain values and may be
    called from any thread.
    """

    def __init__(self, limits: GlobalLimits | None = None) -> None:
        self._task_runs = TaskRuns()
        self._flow_runs = FlowRuns(self._task_runs)
        self._artifacts = Artifacts()
        self._variables = Variables()
        self._limits = limits or GlobalLimits()
        # Requests are answered on one thread; the lock is for those who look in from another.
        self._lock = threading.Lock()
        self._routes = _by_shape(
            [
                *_server_routes(),
                *self._flow_runs.routes(),
                *self._task_runs.routes(),
                *self._artifacts.routes(),
                *self._variables.routes(),
                *self._limits.routes(),
            ]
        )
        self.requests: Counter[str] = Counter()
        """How often each route was asked: `POST flow_runs/{id}/set_state`."""

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """Answer one request, or refuse it with a message that says how to start a server."""
        segments = request.path.split("/")
        for pattern, handler in self._routes.get((request.method, len(segments)), ()):
            if (params := _match(pattern, segments)) is not None:
                self.requests[f"{request.method} {'/'.join(pattern)}"] += 1
                found = Request(request.method, request.path, request.query, request.body, params)
                with self._lock:
                    return handler(found)
        self.requests[f"{request.method} {request.path}"] += 1
        raise needs_server(f"`{request.method} /{request.path}` of the Prefect API")

    def define_limits(self, limits: Iterable[GlobalLimit]) -> None:
        """Create global concurrency limits, or change those of the same name."""
        with self._lock:
            self._limits.define(limits)

    def flows(self) -> list[Record]:
        """Return the flows, oldest first."""
        return self._copy(self._flow_runs.flows)

    def flow_runs(self) -> list[Record]:
        """Return the flow runs, oldest first, each with its current `state`."""
        return self._copy(self._flow_runs.runs)

    def states(self, flow_run_id: str) -> list[Record]:
        """Return the states that a flow run went through, oldest first."""
        with self._lock:
            return [dict(state) for state in self._flow_runs.states(str(flow_run_id))]

    def task_runs(self) -> list[Record]:
        """Return the task runs that stand for subflows; the engine keeps all others to itself."""
        return self._copy(self._task_runs.runs)

    def artifacts(self) -> list[Record]:
        """Return the artifacts, oldest first."""
        return self._copy(self._artifacts.artifacts)

    def variables(self) -> dict[str, Any]:
        """Return the variables' values by name."""
        with self._lock:
            return {variable["name"]: variable["value"] for variable in self._variables.variables}

    def limits(self) -> list[Record]:
        """Return the global concurrency limits with the slots taken now."""
        with self._lock:
            return self._limits.snapshot()

    def _copy(self, records: Iterable[Record]) -> list[Record]:
        with self._lock:
            return [dict(record) for record in records]


def _by_shape(routes: Iterable[Route]) -> dict[tuple[str, int], list[tuple[list[str], Handler]]]:
    """Group routes by method and number of segments; literal segments are tried before `{...}`."""
    shaped: dict[tuple[str, int], list[tuple[list[str], Handler]]] = {}
    for method, pattern, handler in routes:
        segments = pattern.split("/")
        shaped.setdefault((method, len(segments)), []).append((segments, handler))
    for candidates in shaped.values():
        candidates.sort(key=lambda candidate: [segment.startswith("{") for segment in candidate[0]])
    return shaped


def _match(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    params = {}
    for expected, segment in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            params[expected[1:-1]] = decode_segment(segment)
        elif expected != segment:
            return None
    return params


def _server_routes() -> list[Route]:
    """Return what the client asks a server about itself."""
    return [
        ("GET", "health", lambda request: Answer(200, True)),
        ("GET", "ready", lambda request: Answer(200, {"message": "OK"})),
        ("GET", "hello", lambda request: Answer(200, "👋")),
        ("GET", "version", _version),
        ("GET", "admin/version", _version),
        # Asked by Prefect's telemetry before it reports anything.
        ("GET", "admin/settings", lambda request: Answer(200, {"server": {"analytics_enabled": False}})),
        ("GET", "admin/storage", lambda request: Answer(200, {"default_result_storage_block_id": None})),
        ("GET", "csrf-token", _no_csrf_token),
        # Logs go to the terminal and to the run's file; there is no UI to read them here.
        ("POST", "logs", lambda request: Answer(201)),
    ]


def _version(request: Request) -> Answer:
    import prefect

    return Answer(200, prefect.__version__)


def _no_csrf_token(request: Request) -> Answer:
    raise RefusalError(422, "CSRF protection is disabled.")
