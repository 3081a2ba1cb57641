"""
A Prefect server that does not answer when a run ends: the run ends all the same, and it is told later.

Prefect's engine stays as it is. Its client gets a transport that, when no server takes a flow run's last
state, keeps the state on disk and accepts it in the server's place.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from datetime import UTC, datetime
from queue import Empty
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

from latent.config.running_services import recorded_services
from latent.errors import WorkspaceError
from latent.prefect.late_ends import LateEnd, keep
from latent.prefect.logs import get_flow_logger

if TYPE_CHECKING:
    from prefect.context import FlowRunContext

    from latent.config import Workspace
    from latent.prefect.run import Run

PATIENCE_SECONDS = 4.0
"""How long a run that has ended waits for the server; Prefect's own client would wait a minute, and fail."""

ANSWER_SECONDS = 20.0
"""A server that took a request and says nothing for so long does not answer."""

_PAUSE_SECONDS = 0.5
_QUEUES = "prefect._internal.concurrency"
"""The logger of Prefect's queues of events and log lines."""

_SET_STATE = re.compile(r"/flow_runs/([0-9a-f-]{36})/set_state$")
_FINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
_UNAVAILABLE = frozenset({502, 503, 504})


def report_late(run: Run, context: FlowRunContext) -> None:
    """See that the run, and what else the engine runs with the same client, ends without its server, too."""
    client: Any = getattr(context.client, "_client", None)
    if client is None:
        return
    transport = client._transport
    if not isinstance(transport, _Transport | _AsyncTransport):
        ends = _Ends(run.workspace, str(client.base_url).rstrip("/"))
        is_async = isinstance(client, httpx.AsyncClient)
        transport = (_AsyncTransport if is_async else _Transport)(transport, ends)
        client._transport = transport
    transport.ends.add(run, context)
    logging.getLogger(_QUEUES).addFilter(_no_unsent_events)


class _Ends:
    """The flow runs of one client, and what becomes of their last states without a server."""

    def __init__(self, workspace: Workspace, api_url: str) -> None:
        self.workspace, self.api_url = workspace, api_url
        service = recorded_services(workspace).get("prefect")
        self.is_own_server = service is not None and api_url == f"{service.url}/api"
        self._runs: dict[str, tuple[Run, FlowRunContext]] = {}

    def add(self, run: Run, context: FlowRunContext) -> None:
        self._runs[run.run_id] = run, context

    def forget(self, run_id: str) -> None:
        """The server knows how a run ended."""
        self._runs.pop(run_id, None)

    def ending(self, request: httpx.Request) -> tuple[str, dict[str, Any]] | None:
        """The run that a request ends, and what it says; None when it does not end one of ours for good."""
        found = _SET_STATE.search(request.url.path) if request.method == "POST" else None
        if found is None or found[1] not in self._runs:
            return None
        body = json.loads(request.content)
        if body["state"]["type"] not in _FINAL:
            return None
        flow = self._runs[found[1]][1].flow
        # Only the server knows whether a flow with retries begins again.
        if body["state"]["type"] == "FAILED" and flow is not None and flow.retries:
            return None
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), ANSWER_SECONDS)
        return found[1], body

    def accept(self, run_id: str, body: dict[str, Any], reason: str) -> httpx.Response | None:
        """Keep an end, and answer as the server would; None when it cannot be kept."""
        run, _ = self._runs.pop(run_id)
        now = datetime.now(UTC)
        state = dict(body["state"])
        if state.get("message") is None:
            state["message"] = f"It ended at {now:%H:%M:%S} UTC, when the server did not answer."
        is_outermost = run.parent is None
        end = LateEnd(
            run_id=run_id,
            run_name=str(run.flow_run.name),
            flow_name=run.flow_name,
            api_url=self.api_url,
            is_own_server=self.is_own_server,
            state=state,
            force=bool(body.get("force")),
            events=_stop_sending() if is_outermost else [],
        )
        try:
            keep(self.workspace, end)
        except (OSError, WorkspaceError):
            return None
        if is_outermost:
            get_flow_logger().warning(
                "Prefect's server at %s does not answer (%s): that the run ended (%s) is reported when it is "
                "back. `latent sync` says what is left.",
                self.api_url, reason, state["name"],
            )  # fmt: skip
        accepted = {**state, "id": str(uuid4()), "timestamp": now.isoformat()}
        details = {"type": "accept_details"}
        return httpx.Response(201, json={"state": accepted, "status": "ACCEPT", "details": details})


class _Transport(httpx.BaseTransport):
    def __init__(self, inner: httpx.BaseTransport, ends: _Ends) -> None:
        self.inner, self.ends = inner, ends

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if (ending := self.ends.ending(request)) is None:
            return self.inner.handle_request(request)
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                response = self.inner.handle_request(request)
                if response.status_code not in _UNAVAILABLE:
                    self.ends.forget(ending[0])
                    return response
                response.close()
                error: httpx.TransportError = _unavailable(response)
            except httpx.TransportError as failure:
                error = failure
            if time.monotonic() > give_up_at:
                return _accepted(self.ends, ending, error)
            time.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        self.inner.close()


class _AsyncTransport(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport, ends: _Ends) -> None:
        self.inner, self.ends = inner, ends

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if (ending := self.ends.ending(request)) is None:
            return await self.inner.handle_async_request(request)
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                response = await self.inner.handle_async_request(request)
                if response.status_code not in _UNAVAILABLE:
                    self.ends.forget(ending[0])
                    return response
                await response.aclose()
                error: httpx.TransportError = _unavailable(response)
            except httpx.TransportError as failure:
                error = failure
            if time.monotonic() > give_up_at:
                return _accepted(self.ends, ending, error)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def aclose(self) -> None:
        await self.inner.aclose()


def _unavailable(response: httpx.Response) -> httpx.TransportError:
    return httpx.NetworkError(f"status {response.status_code}")


def _accepted(ends: _Ends, ending: tuple[str, dict[str, Any]], error: httpx.TransportError) -> httpx.Response:
    response = ends.accept(*ending, str(error) or type(error).__name__)
    if response is None:
        raise error
    return response


def _stop_sending() -> list[dict[str, Any]]:
    """
    End Prefect's queues of events and log lines, which the interpreter would wait for at its end.

    With no server, they try a minute for each batch of lines, and some seconds for each event. The lines
    stand in the run's log file. Queues of later runs in this process are new ones.

    Returns:
        The events that were not sent.
    """
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler, APILogWorker

    _silence(APILogHandler)
    events: list[dict[str, Any]] = []
    queues: Any = [*EventsWorker._instances.values(), *APILogWorker._instances.values()]  # type: ignore[misc]
    for service in queues:
        if isinstance(service, EventsWorker):
            unsent = list(getattr(getattr(service, "_client", None), "_unconfirmed_events", ()))
            events += [event.model_dump(mode="json") for event in [*unsent, *_taken(service._queue)]]
        task, loop = service._task, service._loop
        if task is not None and loop is not None:
            loop.call_soon_threadsafe(task.cancel)
    return list({event["id"]: event for event in events}.values())


def _taken(queue: Any) -> list[Any]:
    found = []
    try:
        while True:
            if (item := queue.get_nowait()) is not None:
                found.append(item)
    except Empty:
        return found


class _NoUnsentEvents(logging.Filter):
    """Leaves out each event that Prefect could not send: it keeps them, and sends them again."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Service %r failed to process item")


_no_unsent_events = _NoUnsentEvents()


class _WhileServerAnswers(logging.Filter):
    """Keeps lines from a server that did not answer a moment ago: each would begin a queue of its own."""

    silent_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        return time.monotonic() >= self.silent_until


_while_server_answers = _WhileServerAnswers()
_SILENT_SECONDS = 60.0


def _silence(handlers_of: type[logging.Handler]) -> None:
    _while_server_answers.silent_until = time.monotonic() + _SILENT_SECONDS
    # What Prefect says of its queues when they are ended is not news.
    logging.getLogger(_QUEUES).addFilter(_while_server_answers)
    for name in (None, "prefect", "prefect.flow_runs", "prefect.task_runs", "prefect.extra"):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, handlers_of):
                handler.addFilter(_while_server_answers)
